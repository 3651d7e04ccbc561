# What a derivation depends on through the .drv file of another one: texts, and what these refer to.
let
  inner = builtins.toFile "inner" "y";
  text = builtins.toFile "text" "x ${inner}";
  middle = derivation { name = "middle"; system = "s"; builder = "b"; x = "${text}"; };
in
(derivation { name = "outer"; system = "s"; builder = "b"; x = middle.drvPath; }).drvPath
