let mk = n: builtins.foldl' (a: b: [ a ]) [ ] (builtins.genList (x: x) n); in mk 9000 == mk 9000
