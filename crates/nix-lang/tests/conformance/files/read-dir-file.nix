builtins.tryEval (builtins.typeOf (builtins.readDir ./data/tree))
