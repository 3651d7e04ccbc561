let a = 0; in { a = 1; inherit a; }
