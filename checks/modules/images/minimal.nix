# Stands in for images/minimal.nix.
{ builder }:
derivation {
  name = "minimal";
  system = "x86_64-linux";
  builder = "${builder}";
  args = [
    "builder"
    "minimal"
  ];
}
