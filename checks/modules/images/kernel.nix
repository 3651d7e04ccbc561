# Stands in for images/kernel.nix.
{
  builder,
  lock,
  name ? "kernel",
}:
derivation {
  inherit name;
  system = "x86_64-linux";
  builder = "${builder}";
  args = [
    "builder"
    "kernel"
  ];
  lock = baseNameOf lock;
}
