map builtins.pathExists [ ./data/text.txt ./data/nope ./data/tree (toString ./data/tree + "/") (toString ./data/text.txt + "/") ]
