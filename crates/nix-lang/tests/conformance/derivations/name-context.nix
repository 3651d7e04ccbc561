(derivation { name = builtins.toFile "a" "1"; builder = "b"; system = "s"; }).drvPath
