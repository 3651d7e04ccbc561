let d = derivation { name = "d"; builder = "b"; system = "s"; outputs = [ "out" "dev" ]; }; in builtins.attrValues (builtins.getContext "${d}${d.dev}")
