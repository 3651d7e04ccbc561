let f = x: derivation { name = "a"; builder = "b"; system = "s"; }; in f 1 == f 2
