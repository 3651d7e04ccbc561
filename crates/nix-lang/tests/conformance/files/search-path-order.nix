baseNameOf (builtins.findFile [ { path = "/no/such"; prefix = "d"; } { path = ./data; prefix = "d"; } ] "d/text.txt")
