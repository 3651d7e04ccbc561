let x = n: { outPath = x (n + 1); }; in toString (x 0)
