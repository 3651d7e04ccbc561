let x = { inherit x; }; in builtins.deepSeq x 1
