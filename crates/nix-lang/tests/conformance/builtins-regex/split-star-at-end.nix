map (t: builtins.split "(a*)" t) [ "aa" "ba" "ab" ]
