let s = "${derivation { name = "d"; builder = "b"; system = "s"; }}"; in builtins.getContext (builtins.appendContext "x" (builtins.getContext s)) == builtins.getContext s
