builtins.tryEval (builtins.findFile [ { prefix = "et"; path = "/"; } ] "etc")
