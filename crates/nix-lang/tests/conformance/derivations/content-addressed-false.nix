(derivation { name = "a"; builder = "b"; system = "s"; __contentAddressed = false; __impure = false; }).drvPath
