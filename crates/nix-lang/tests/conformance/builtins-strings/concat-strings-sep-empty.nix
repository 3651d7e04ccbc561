[ (builtins.concatStringsSep "," [ ]) (builtins.concatStringsSep "," [ "a" ]) ]
