let
  plain = x: x + 1;
  curried = a: b: c: a * 100 + b * 10 + c;
  pattern = { a, b ? a + 1, ... }@args: [ a b (builtins.attrNames args) ];
  strict = { a ? 1, b ? 2 }: a + b;
  functor = { __functor = self: x: self.base + x; base = 40; };
  fac = n: if n < 2 then 1 else n * fac (n - 1);
  at = args@{ x ? 3, ... }: args ? x;
in
{
  plain = plain 1;
  curried = curried 1 2 3;
  partial = map (curried 1 2) [ 3 4 ];
  pattern = [ (pattern { a = 1; }) (pattern { a = 1; b = 5; z = 0; }) ];
  strict = [ (strict { }) (strict { a = 10; }) ];
  functor = functor 2;
  mapped = map functor [ 1 2 ];
  fac = fac 20;
  at = [ (at { }) (at { x = 1; }) ];
  args = builtins.functionArgs pattern;
  isf = map builtins.isFunction [ plain functor builtins.map (builtins.add 1) ];
  types = map builtins.typeOf [ 1 1.5 "s" ./x null true [ ] { } plain builtins.map ];
  prim = builtins.foldl' builtins.add 0 [ 1 2 3 4 ];
  selfcmp = let f = x: x; in [ (f == f) ([ f ] == [ f ]) ({ a = f; } == { a = f; }) (builtins.elem f [ f ]) ];
}
