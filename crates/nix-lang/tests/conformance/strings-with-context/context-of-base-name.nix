let a = builtins.toFile "a" "1"; in [ (builtins.hasContext (baseNameOf a)) (builtins.hasContext (dirOf a)) ]
