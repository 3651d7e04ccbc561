builtins.stringLength (builtins.toXML (builtins.split "(.)" "€<"))
