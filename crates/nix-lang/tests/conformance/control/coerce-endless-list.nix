let x = n: [ (x (n + 1)) ]; in toString (x 0)
