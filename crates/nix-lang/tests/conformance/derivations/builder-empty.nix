(derivation { name = "a"; builder = ""; system = "s"; }).drvPath
