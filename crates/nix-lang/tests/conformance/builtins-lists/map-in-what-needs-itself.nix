let x = builtins.elemAt (map (y: x) [ 1 ]) 0; in x
