builtins.getContext (builtins.appendContext "a" { ${builtins.unsafeDiscardStringContext (builtins.toFile "x" "y")} = { path = true; }; })
