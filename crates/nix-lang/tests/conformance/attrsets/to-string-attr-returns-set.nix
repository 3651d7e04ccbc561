toString { __toString = s: { outPath = "x"; }; }
