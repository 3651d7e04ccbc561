[ (builtins.match "(.*)(b+)" "abbb") (builtins.match "(a*)(a*)" "aa") (builtins.match "(a|b|ab)*c" "ababc") ]
