builtins.appendContext "a" { "/nix/store/foo" = { }; }
