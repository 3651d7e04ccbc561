builtins.hasContext (builtins.toJSON { x = builtins.toFile "a" "1"; })
