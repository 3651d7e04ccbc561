# Stands in for images/debian.nix: same arguments, nothing to fetch or build.
{
  builder,
  lock ? "default",
  name ? "debian",
  files ? { },
  users ? { },
}:
derivation {
  inherit name;
  system = "x86_64-linux";
  builder = "${builder}";
  args = [
    "builder"
    "debian"
  ];
  inherit lock;
}
