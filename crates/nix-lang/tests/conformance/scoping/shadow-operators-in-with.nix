with { __sub = a: b: "with"; }; 1 - 2
