(derivation { name = "b"; builder = "b"; system = "s"; src = ./data/number.nix; }).drvPath
