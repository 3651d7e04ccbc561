map (t: builtins.split "([ab]|)" t) [ "ab" "" "cab" ]
