map builtins.parseDrvName [ "hello-1.2.3" "hello" "a-b-c-1" "a-1-b-2" "" "-1" "a-" "hello-world-2a" "x-1.0-unstable" ]
