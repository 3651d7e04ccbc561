{ __functor = self: x: builtins.attrNames self; a = 1; } null
