builtins.fromJSON "\"a
b\""
