import { outPath = ./data/number.nix; }
