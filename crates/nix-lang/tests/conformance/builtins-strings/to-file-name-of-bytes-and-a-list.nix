builtins.toFile (builtins.replaceStrings [ "" ] [ "a" ] "ä") [ ]
