({ a ? throw "x", b }: b) { b = 1; }
