builtins.replaceStrings [ "a" "oo" ] [ "A" "00" ] "a foo bar boo"
