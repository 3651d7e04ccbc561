let d = derivation { name = "a"; builder = "b"; system = "s"; __structuredAttrs = true; outputs = [ "out" "dev" ]; outputChecks.out.maxSize = 5; }; in [ d.drvPath d.dev.outPath ]
