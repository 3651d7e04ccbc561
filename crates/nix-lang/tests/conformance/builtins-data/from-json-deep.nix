builtins.typeOf (builtins.fromJSON (builtins.concatStringsSep "" (builtins.genList (x: "[") 3000) + builtins.concatStringsSep "" (builtins.genList (x: "]") 3000)))
