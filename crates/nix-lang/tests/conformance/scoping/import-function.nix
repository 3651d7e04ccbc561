import ./data/function.nix { a = 3; }
