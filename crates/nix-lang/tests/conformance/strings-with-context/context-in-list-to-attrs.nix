builtins.listToAttrs [ { name = builtins.toFile "a" "1"; value = 1; } ]
