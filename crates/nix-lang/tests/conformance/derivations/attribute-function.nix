(derivation { name = "a"; builder = "b"; system = "s"; f = x: x; }).drvPath
