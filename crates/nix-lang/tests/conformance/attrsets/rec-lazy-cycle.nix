let s = rec { a = [ b ]; b = { inherit a; }; }; in builtins.length s.b.a
