{
  ints = [ (1 + 2) (7 - 10) (6 * 7) (7 / 2) (-7 / 2) (1 + -1) ];
  floats = [ (1 + 2.5) (7 / 2.0) (1.5 - 0.5) 1.0e3 .5 ];
  prec = 2 + 3 * 4 - 6 / 2;
  neg = -(1 + 2);
  bits = [ (builtins.bitAnd 12 10) (builtins.bitOr 12 10) (builtins.bitXor 12 10) ];
  round = map builtins.floor [ 1.5 (-1.5) 2 ] ++ map builtins.ceil [ 1.5 (-1.5) 2 ];
  compare = [ (1 < 2) (1 < 1.5) (2.0 <= 2) (2 > 3) (3 >= 3) ("a" < "b") ([ 1 2 ] < [ 1 3 ]) ([ 1 ] < [ 1 0 ]) ];
  eq = [ (1 == 1.0) ("a" == "a") ([ 1 { a = 2; } ] == [ 1 { a = 2; } ]) ({ a = 1; } == { a = 1; b = 2; }) (null == false) ];
  logic = [ (true && false) (true || throw "no") (false -> throw "no") (!true) (true -> false) ];
  strings = map toString [ 1 1.5 true false null "x" [ 1 [ 2 3 ] [ ] 4 ] (-0.25) 1.0e10 ];
}
