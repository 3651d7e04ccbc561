builtins.sort builtins.lessThan [ 1.5 1 2 0.5 ]
