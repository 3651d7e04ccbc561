builtins.intersectAttrs { b = throw "x"; } { b = 3; }
