import /definitely/not/there.nix
