let s = { a.b.c = 1; "x y" = 2; }; in [ (s ? a) (s ? a.b) (s ? a.b.c) (s ? a.x) (s ? b.c) (s ? "x y") (s ? a.b.c.d) ]
