# A kernel that QEMU starts by its PVH entry: `vmlinux`, and from a package `lib/modules/VERSION`.
#
#   src   a bzImage, an ELF file or Debian's package of a kernel
#   lock  instead of that: a lock file, as `hc image lock FILE linux-image-cloud-amd64` writes it
{ builder, lock ? null, src ? null, name ? "kernel" }:
let
  lib = import ./lib.nix;
  isKernel = package: builtins.match "linux-image-[0-9].*" package.name != null;
  found = builtins.filter isKernel (lib.readLock lock).packages;
  package = if found == [ ] then throw "${toString lock}: it has no kernel" else builtins.head found;
in
lib.mkImage {
  inherit builder name;
  what = "kernel";
  attrs.src =
    if src != null then "${src}"
    else lib.fetch { name = package.file; inherit (package) urls sha256; };
}
