builtins.scopedImport { x = 5; } ./data/imports-needs-x.nix
