builtins.toXML { type = "derivation"; x = 1; }
