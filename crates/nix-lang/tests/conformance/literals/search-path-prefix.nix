builtins.findFile [ { prefix = "x"; path = "/"; } ] "x"
