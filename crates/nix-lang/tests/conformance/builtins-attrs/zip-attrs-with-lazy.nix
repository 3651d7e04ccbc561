builtins.attrNames (builtins.zipAttrsWith (throw "f" ) [ ])
