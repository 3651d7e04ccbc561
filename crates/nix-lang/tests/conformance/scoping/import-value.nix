import ./data/number.nix
