{ a.b = x: x; }.a.b 1
