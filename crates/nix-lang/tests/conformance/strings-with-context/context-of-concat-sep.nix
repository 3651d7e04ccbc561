let a = builtins.toFile "a" "1"; in [ (builtins.hasContext (builtins.concatStringsSep a [ ])) (builtins.hasContext (builtins.concatStringsSep "," [ a ])) ]
