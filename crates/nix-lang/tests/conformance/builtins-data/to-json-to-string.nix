builtins.toJSON { __toString = s: "x"; a = 1; }
