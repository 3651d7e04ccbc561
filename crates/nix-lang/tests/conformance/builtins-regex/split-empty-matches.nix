[ (builtins.split "" "abc") (builtins.split "x*" "axb") (builtins.split "(a*)" "baac") ]
