[ (builtins.split "^a" "aa") (builtins.split "a$" "aa") ]
