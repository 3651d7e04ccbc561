{ type = "derivation"; x = 1; } == { type = "derivation"; x = 1; }
