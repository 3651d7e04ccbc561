builtins.appendContext "a" { ${builtins.unsafeDiscardStringContext (builtins.toFile "x" "y")} = { allOutputs = true; }; }
