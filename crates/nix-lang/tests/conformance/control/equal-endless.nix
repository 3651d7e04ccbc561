let x = n: [ (x (n + 1)) ]; in x 0 == x 0
