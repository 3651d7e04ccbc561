builtins.getAttr (builtins.toFile "a" "1") { }
