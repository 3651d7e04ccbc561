with { a = 1; b = 1; }; let a = 2; in [ a b ]
