map toString (builtins.attrValues (builtins.fromTOML "a = inf\nb = -inf\nc = 1e3"))
