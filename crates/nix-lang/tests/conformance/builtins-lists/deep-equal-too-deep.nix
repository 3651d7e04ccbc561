let mk = n: builtins.foldl' (a: b: [ a ]) [ ] (builtins.genList (x: x) n); in mk 20000 == mk 20000
