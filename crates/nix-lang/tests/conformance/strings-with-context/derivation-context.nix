let d = derivation { name = "d"; builder = "b"; system = "s"; }; in [ (builtins.attrValues (builtins.getContext d.outPath)) (builtins.attrValues (builtins.getContext d.drvPath)) ]
