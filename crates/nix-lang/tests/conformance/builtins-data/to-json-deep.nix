builtins.stringLength (builtins.toJSON (builtins.foldl' (a: b: [ a ]) [ ] (builtins.genList (x: x) 5000)))
