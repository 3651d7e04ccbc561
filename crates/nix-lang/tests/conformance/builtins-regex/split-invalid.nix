builtins.split "f(o*o" "x"
