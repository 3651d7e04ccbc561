builtins.tryEval (abort "boom")
