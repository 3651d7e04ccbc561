builtins.path { path = ./data/text.txt; recursive = false; sha256 = builtins.hashFile "sha256" ./data/text.txt; }
