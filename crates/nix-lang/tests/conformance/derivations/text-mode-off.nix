(derivation { name = "a"; builder = "b"; system = "s"; outputHashMode = "text"; }).drvPath
