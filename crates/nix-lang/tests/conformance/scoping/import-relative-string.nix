import "number.nix"
