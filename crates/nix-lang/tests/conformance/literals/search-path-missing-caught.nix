builtins.tryEval <certainly-not-there>
