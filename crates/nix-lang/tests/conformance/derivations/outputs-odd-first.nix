(derivation { name = "a"; builder = "b"; system = "s"; outputs = [ "doc" ]; }).outPath
