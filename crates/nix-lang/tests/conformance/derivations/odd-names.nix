(derivation { name = "a+b-1.0_x?y=z"; builder = "b"; system = "s"; }).drvPath
