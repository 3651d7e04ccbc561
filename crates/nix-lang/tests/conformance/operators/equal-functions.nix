# The same element is equal to itself; what was evaluated to the same function is a copy.
let
  f = x: x;
  g = f;
  list = [ f ];
  set = { a = f; };
in
[
  (f == f)
  ([ f ] == [ f ])
  ([ g ] == list)
  (builtins.elem f list)
  (builtins.filter (x: true) list == list)
  (builtins.sort (a: b: true) list == list)
  (builtins.concatMap (x: [ x ]) list == list)
  (builtins.attrValues set == list)
  ([ map ] == [ map ])
  ([ (builtins.head list) ] == list)
  (map (x: x) list == list)
  ({ inherit (set) a; } == set)
  ([ set.a ] == [ set.a ])
  ([ (if true then f else g) ] == list)
  ([ builtins.map ] == [ builtins.map ])
]
