[ (builtins.substring 1 2 "hello") (builtins.substring 0 99 "hi") (builtins.substring 5 1 "hi") (builtins.substring 1 (-1) "hello") (builtins.substring 0 0 "x") ]
