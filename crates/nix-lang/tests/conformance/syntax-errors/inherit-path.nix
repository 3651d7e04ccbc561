{ inherit (a) b.c; }
