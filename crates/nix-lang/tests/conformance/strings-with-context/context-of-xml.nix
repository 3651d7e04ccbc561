builtins.hasContext (builtins.toXML { x = builtins.toFile "a" "1"; })
