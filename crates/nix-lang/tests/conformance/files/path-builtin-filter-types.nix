builtins.path { path = ./data/tree; filter = p: t: t == "directory"; }
