[ (builtins.split "a" "aba") (builtins.split "(a)|(b)" "ab") ]
