builtins.path { path = ./data/text.txt; what = 1; }
