(x: 1) (throw "x")
