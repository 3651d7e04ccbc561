[ (builtins.hasContext "a") (builtins.hasContext (builtins.toFile "x" "y")) ]
