builtins.scopedImport { map = f: l: "own"; x = 1; } ./data/needs-map.nix
