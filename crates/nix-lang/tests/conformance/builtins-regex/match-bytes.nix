builtins.match ".*" "é" == [ ]
