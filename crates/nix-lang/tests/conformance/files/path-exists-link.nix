map builtins.pathExists [ ./data/tree/link (toString ./data/tree/link + "/") ]
