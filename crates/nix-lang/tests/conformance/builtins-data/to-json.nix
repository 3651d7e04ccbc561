builtins.toJSON { a = 1; b = [ true null 1.5 "x" ]; c = { }; }
