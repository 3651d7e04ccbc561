let x = 1; in import ./data/needs-x.nix
