let x = n: [ (x (n + 1)) ]; in builtins.toJSON (x 0)
