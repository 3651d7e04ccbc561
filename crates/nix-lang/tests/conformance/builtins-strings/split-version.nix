map builtins.splitVersion [ "1.2.3" "1.2-3a" "2.0pre12" "" "a.b" "1..2" "1-" ]
