let f = builtins.toFile "x" "content"; in [ f (builtins.getContext f) ]
