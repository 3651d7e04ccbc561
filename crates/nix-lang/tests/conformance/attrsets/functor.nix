let s = { __functor = self: x: self.n + x; n = 1; }; in s 2
