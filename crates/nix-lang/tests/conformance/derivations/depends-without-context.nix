let a = derivation { name = "a"; builder = "b"; system = "s"; }; in (derivation { name = "b"; builder = "b"; system = "s"; x = builtins.unsafeDiscardStringContext a.outPath; }).drvPath
