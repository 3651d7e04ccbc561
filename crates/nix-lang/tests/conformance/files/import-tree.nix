builtins.attrNames (import ./data/dir)
