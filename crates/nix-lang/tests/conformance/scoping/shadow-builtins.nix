let builtins = { length = 5; }; in builtins.length
