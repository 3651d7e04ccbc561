map (c: builtins.match "[[:${c}:]]" "A") [ "upper" "lower" "alnum" "punct" "space" "xdigit" "print" "graph" "cntrl" "blank" ]
