let f = { __functor = self: { __functor = self2: x: x * 2; }; }; in f 1 4
