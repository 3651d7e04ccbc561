# Stands in for images/initrd.nix.
{ builder, kernel }:
derivation {
  name = "initrd";
  system = "x86_64-linux";
  builder = "${builder}";
  args = [
    "builder"
    "initrd"
  ];
  kernel = "${kernel}";
}
