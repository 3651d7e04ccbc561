let d = derivation { name = "d"; builder = "b"; system = "s"; }; in builtins.attrValues (builtins.getContext (builtins.addDrvOutputDependencies (builtins.unsafeDiscardOutputDependency d.drvPath)))
