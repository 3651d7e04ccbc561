builtins.filterSource (p: t: t != "symlink") ./data/tree
