builtins.toJSON { a = throw "x"; }
