# Numbers of bytes, and text such as 256M for them.
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
  size = "([1-9][0-9]{0,14})([KMGT]?)";
  bytes =
    text:
    let
      parts = builtins.match size text;
    in
    builtins.fromJSON (builtins.elemAt parts 0) * units.${builtins.elemAt parts 1};
in
types.coercedTo (types.strMatching size) bytes types.ints.positive
// {
  description = "number of bytes, or text such as 256M or 2G";
}
