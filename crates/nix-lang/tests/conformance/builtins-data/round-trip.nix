let v = { a = [ 1 2.5 "é" null true { } ]; }; in builtins.fromJSON (builtins.toJSON v) == v
