let
  a = derivation {
    name = "a";
    system = "x";
    builder = "b";
    args = [ "-e" "\n\"" ];
    "" = "q";
  };
in
[ a.drvPath a.outPath ]
