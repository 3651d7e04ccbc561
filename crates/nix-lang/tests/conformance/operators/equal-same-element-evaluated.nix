let
  list = [ (throw "looked into") ];
  set = { a = throw "looked into"; };
in
builtins.seq list (builtins.seq set [ ([ list ] == [ list ]) ([ set ] == [ set ]) ({ x = set; } == { x = set; }) ])
