# A plain cpio archive, `initrd`.
#
#   kernel, machine  hc's own, for a kernel of ./kernel.nix on "microvm" or "q35"
#   modules          names of modules to load besides
#   config           words as on the kernel's command line, which counts more
#   initrds          instead of all that: foreign ones, put together
{ builder, name ? "initrd", kernel ? null, machine ? "microvm", modules ? [ ], config ? "", initrds ? [ ] }:
(import ./lib.nix).mkImage {
  inherit builder name;
  what = "initrd";
  attrs =
    if initrds != [ ] then { src = map (file: "${file}") initrds; }
    else { kernel = "${kernel}"; inherit machine modules config; };
}
