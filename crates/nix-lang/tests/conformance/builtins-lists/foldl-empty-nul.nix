builtins.foldl' (a: b: b) (throw "nul") [ ]
