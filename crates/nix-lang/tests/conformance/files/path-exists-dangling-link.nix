builtins.pathExists ./data/tree/dangling
