builtins.all (x: x) [ false (throw "x") ]
