let a = builtins.toFile "a" "1"; in map (x: if builtins.isString x then builtins.hasContext x else null) (builtins.split "/" a)
