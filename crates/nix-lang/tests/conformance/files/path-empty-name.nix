builtins.path { path = ./data/file; name = ""; }
