throw "see ${builtins.toFile "a" "1"}"
