builtins.foldl' (a: b: if b == 2 then 1 else throw "forced") 0 [ 1 2 ]
