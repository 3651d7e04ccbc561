let a = builtins.toFile "a" "1"; in a == builtins.unsafeDiscardStringContext a
