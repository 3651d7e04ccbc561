{ ${builtins.toFile "a" "1"} = 1; }
