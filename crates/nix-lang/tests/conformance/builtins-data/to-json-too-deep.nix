builtins.stringLength (builtins.toJSON (builtins.foldl' (a: b: [ a ]) [ ] (builtins.genList (x: x) 20000)))
