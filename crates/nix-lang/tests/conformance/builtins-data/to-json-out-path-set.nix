builtins.toJSON { outPath.foo = true; }
