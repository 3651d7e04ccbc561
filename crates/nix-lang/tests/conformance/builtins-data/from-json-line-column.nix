builtins.fromJSON "{\n  \"a\": 1,\n  b\n}"
