let d = derivation { name = "a"; builder = "b"; system = "s"; outputHash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="; outputHashMode = "recursive"; }; in [ d.outPath d.drvPath ]
