builtins.trace (throw "x") 1
