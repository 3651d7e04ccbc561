# Types of options that are numbers with units.
{ lib }:
let
  inherit (lib) types;
  units = {
    "" = 1;
    K = 1024;
    M = 1024 * 1024;
    G = 1024 * 1024 * 1024;
    T = 1024 * 1024 * 1024 * 1024;
  };
  times = {
    s = 1;
    m = 60;
    h = 60 * 60;
    d = 24 * 60 * 60;
    w = 7 * 24 * 60 * 60;
  };
  size = "([1-9][0-9]{0,14})([KMGT]?)";
  duration = "([1-9][0-9]{0,8})([smhdw])";
  parse =
    pattern: factors: text:
    let
      parts = builtins.match pattern text;
    in
    builtins.fromJSON (builtins.elemAt parts 0) * factors.${builtins.elemAt parts 1};
in
{
  bytes = types.coercedTo (types.strMatching size) (parse size units) types.ints.positive // {
    description = "number of bytes, or text such as 256M or 2G";
  };
  seconds = types.coercedTo (types.strMatching duration) (parse duration times) types.ints.positive // {
    description = "number of seconds, or text such as 30m, 6h or 1d";
  };
}
