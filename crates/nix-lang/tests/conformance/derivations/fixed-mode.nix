(derivation { name = "a"; builder = "b"; system = "s"; outputHash = "x"; outputHashMode = "weird"; }).drvPath
