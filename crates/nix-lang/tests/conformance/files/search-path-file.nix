builtins.readFile (builtins.findFile [ { prefix = ""; path = ./data; } ] "text.txt")
