builtins.toXML { a = 1; b = [ true null 1.5 "x<&>\"\n" ]; c = { }; d = x: x; e = { a, b ? 1, ... }@c: a; f = map; g = /p; }
