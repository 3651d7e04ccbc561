builtins.path ./data/text.txt
