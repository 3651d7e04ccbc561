# A value is equal to itself inside of lists and sets, even one that is not equal to itself.
let
  nan = 1.0e308 * 10 - 1.0e308 * 10;
  list = [ nan ];
  set = { a = nan; };
  both = x: [ x ] == [ x ];
in
builtins.seq nan [
  (nan == nan)
  ([ nan ] == [ nan ])
  (builtins.elem nan list)
  (list ++ list == list ++ list)
  (builtins.sort (a: b: true) list == builtins.attrValues set)
  (both nan)
  ([ (builtins.head list) ] == list)
  ({ inherit (set) a; } == set)
]
