builtins.appendContext "a" { ${builtins.unsafeDiscardStringContext (builtins.toFile "x" "y")} = 1; }
