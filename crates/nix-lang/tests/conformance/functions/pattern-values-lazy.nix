({ a, b ? throw "b" }: a) { a = 1; }
