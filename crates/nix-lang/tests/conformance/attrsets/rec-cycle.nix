let s = rec { a = b; b = c; c = a; }; in s.a
