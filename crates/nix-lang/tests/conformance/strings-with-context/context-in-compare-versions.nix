builtins.compareVersions (builtins.toFile "a" "1") "1"
