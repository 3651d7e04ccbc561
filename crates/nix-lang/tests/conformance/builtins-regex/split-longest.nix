[ (builtins.split "a|ab|abc" "abcd") (builtins.split "(a*)(ab)*" "aab") ]
