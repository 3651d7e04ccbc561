(derivation { name = "a"; builder = "b"; system = "s"; outputHash = "00"; }).drvPath
