let
  a = derivation {
    name = "a";
    system = "x";
    builder = "b";
    outputs = [ "drv" "out" ];
  };
  b = derivation {
    name = "b";
    system = "x";
    builder = "b";
    inherit a;
  };
in
[ a.drv.outPath a.out.outPath a.drvPath b.drvPath ]
