builtins.readDir ./data/tree
