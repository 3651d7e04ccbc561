(derivation { name = "a"; builder = "b"; system = "s"; __impure = true; }).drvPath
