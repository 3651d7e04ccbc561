builtins.appendContext "a" { nope = { path = true; }; }
