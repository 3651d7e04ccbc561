(derivation { name = "b"; builder = "b"; system = "s"; x = builtins.toFile "f" "1"; }).drvPath
