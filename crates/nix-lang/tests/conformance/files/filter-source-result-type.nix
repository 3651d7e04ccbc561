builtins.filterSource (p: t: 1) ./data/tree
