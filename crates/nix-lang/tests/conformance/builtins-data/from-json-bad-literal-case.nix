builtins.fromJSON "[True]"
