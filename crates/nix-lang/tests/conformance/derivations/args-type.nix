(derivation { name = "a"; builder = "b"; system = "s"; args = "x"; }).drvPath
