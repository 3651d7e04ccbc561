builtins.tryEval (builtins.stringLength "a")
