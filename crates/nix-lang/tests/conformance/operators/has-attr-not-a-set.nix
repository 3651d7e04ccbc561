[ (1 ? a) (null ? a) ([ ] ? a) ((x: x) ? a) ]
