(x: x) x:x
