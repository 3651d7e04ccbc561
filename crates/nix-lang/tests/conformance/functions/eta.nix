let f = x: y: x; g = f 1; in g 2 + g 3
