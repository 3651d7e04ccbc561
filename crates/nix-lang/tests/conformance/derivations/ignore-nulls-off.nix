(derivation { name = "a"; builder = "b"; system = "s"; x = null; }).drvPath
