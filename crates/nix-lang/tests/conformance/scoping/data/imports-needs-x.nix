import ./needs-x.nix
