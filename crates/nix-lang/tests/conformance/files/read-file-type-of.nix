map builtins.readFileType [ ./data/text.txt ./data/tree ./data/tree/link ]
