builtins.match "*a" "x"
