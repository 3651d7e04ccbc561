builtins.path { path = ./data/tree; filter = p: t: baseNameOf p != "b"; }
