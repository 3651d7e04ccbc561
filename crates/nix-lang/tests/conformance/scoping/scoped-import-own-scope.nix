builtins.scopedImport { x = 5; } ./data/needs-x.nix
