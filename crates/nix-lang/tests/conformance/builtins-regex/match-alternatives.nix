[ (builtins.match "(a|ab)(c|bcd)(d*)" "abcd") (builtins.match "(ab|a)(bc)?" "abc") ]
