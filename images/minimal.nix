# Nothing but hc as /bin/hc: no download, ready in a second.
{ builder, name ? "minimal", epoch ? 1 }:
(import ./lib.nix).mkImage {
  inherit builder name;
  what = "minimal-rootfs";
  attrs.epoch = toString epoch;
}
