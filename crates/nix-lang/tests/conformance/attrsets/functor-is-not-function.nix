builtins.isFunction { __functor = x: x; }
