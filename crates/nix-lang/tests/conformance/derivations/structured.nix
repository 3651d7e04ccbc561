(derivation { name = "a"; builder = "b"; system = "s"; __structuredAttrs = true; list = [ 1 "x" { y = null; } ]; f = 1.5; b = true; }).drvPath
