builtins.tryEval (import ./data/broken.nix)
