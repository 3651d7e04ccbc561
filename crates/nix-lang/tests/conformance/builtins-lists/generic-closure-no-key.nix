builtins.genericClosure { startSet = [ { kay = 1; } ]; operator = x: [ ]; }
