builtins.attrNames { b = 1; a = throw "x"; }
