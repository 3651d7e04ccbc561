map builtins.isFunction [ (x: x) map (map (x: x)) { __functor = x: x; } 1 ]
