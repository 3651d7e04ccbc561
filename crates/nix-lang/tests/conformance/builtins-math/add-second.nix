builtins.add 1 "b"
