let a = builtins.toFile "a" "1"; in builtins.hasContext (builtins.head (builtins.match "(.*)" a))
