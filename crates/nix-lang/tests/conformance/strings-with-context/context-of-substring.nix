let a = builtins.toFile "a" "1"; in [ (builtins.hasContext (builtins.substring 0 1 a)) (builtins.hasContext (builtins.substring 0 0 a)) (builtins.hasContext (builtins.substring 1000 1 a)) ]
