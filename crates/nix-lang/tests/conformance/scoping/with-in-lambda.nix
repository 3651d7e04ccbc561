map (s: with s; x) [ { x = 1; } { x = 2; } ]
