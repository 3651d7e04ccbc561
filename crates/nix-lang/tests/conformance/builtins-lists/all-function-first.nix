builtins.all 1 2
