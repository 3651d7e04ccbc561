builtins.toXML derivation
