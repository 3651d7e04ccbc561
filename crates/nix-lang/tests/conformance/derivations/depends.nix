let a = derivation { name = "a"; builder = "b"; system = "s"; }; b = derivation { name = "b"; builder = "b"; system = "s"; inherit a; }; in [ b.drvPath b.outPath ]
