builtins.any (x: x) [ true (throw "x") ]
