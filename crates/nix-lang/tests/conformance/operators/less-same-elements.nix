let
  f = x: x;
  set = { a = throw "looked into"; };
in
[ ([ f 2 ] > [ f 1 ]) ([ f ] > [ f ]) ([ set 1 ] < [ set 2 ]) (builtins.lessThan [ f 1 ] [ f 2 ]) ]
