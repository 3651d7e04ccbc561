builtins.replaceStrings [ "a" "z" ] [ "b" (throw "x") ] "aaa"
