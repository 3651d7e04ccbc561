map builtins.stringLength [ "" "a" "é" "☃" "😀" ]
