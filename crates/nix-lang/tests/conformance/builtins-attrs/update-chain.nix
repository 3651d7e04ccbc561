builtins.attrNames (builtins.foldl' (a: b: a // { ${"k" + toString b} = b; }) { } (builtins.genList (x: x) 300)) == builtins.sort builtins.lessThan (builtins.genList (i: "k" + toString i) 300)
