[ (builtins.replaceStrings [ "" ] [ "x" ] "") (builtins.replaceStrings [ "a" ] [ "x" ] "") ]
