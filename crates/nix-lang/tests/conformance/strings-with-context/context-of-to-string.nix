let a = builtins.toFile "a" "1"; in builtins.hasContext (toString [ "x" a ])
