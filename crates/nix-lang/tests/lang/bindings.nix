let
  a = 1;
  b = a + c;
  c = 10;
  inherit (rec { x = y * 2; y = 21; z = throw "lazy"; }) x y z;
  set = { inherit a b; inherit (nested) p q; nested.deep.er = 5; nested.deep.more = 6; };
  nested = { p = "p"; q = "q"; };
  fix = f: let self = f self; in self;
in
{
  inherit a b x y;
  inherit (set) p q;
  nested = set.nested;
  rec1 = rec { one = 1; two = one + one; "three" = two + one; ${"fo" + "ur"} = 4; };
  dynamic = { ${"a" + "b"} = 1; ${null} = 2; "x y" = 3; "a.b".c = 4; };
  with1 = with { a = 100; w = 7; }; a + w;
  with2 = with { w = 1; }; with { w = 2; v = w; }; [ w v ];
  fix = (fix (self: { n = 3; sq = self.n * self.n; })).sq;
  default = { a = { b = 1; }; }.a.c or "none";
  defaultDeep = { }.a.b.c or "none";
  has = [ ({ a.b = 1; } ? a.b) ({ a.b = 1; } ? a.c) (1 ? a) ({ a = null; } ? a.b.c) ({ "x y" = 1; } ? "x y") ];
  update = { a = 1; b = { c = 1; }; } // { b = { d = 2; }; e = 3; };
  shadow = let a = 2; in let b = a; a = 3; in b;
  orAsName = let or = 5; in { inherit or; };
  letAttrs = let { body = q + 1; q = 41; };
}
