let a = builtins.toFile "a" "1"; b = builtins.toFile "b" "uses ${a}"; in [ b (builtins.attrNames (builtins.getContext b)) ]
