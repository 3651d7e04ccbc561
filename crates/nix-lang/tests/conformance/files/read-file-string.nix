builtins.readFile (toString ./data/text.txt)
