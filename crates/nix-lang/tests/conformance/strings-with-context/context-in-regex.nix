builtins.match (builtins.toFile "a" "1") "x"
