builtins.path { path = ./data/text.txt; recursive = false; }
