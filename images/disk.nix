# A disk image as a sparse raw file, `disk.raw`: from qcow2, raw or ISO.
#
#   src      the image
#   backing  the files below a qcow2 image, nearest first; the name in the image is never followed
#   maxSize  the largest disk, in bytes
#   qemuImg  for vhdx, vmdk and vdi: QEMU's qemu-img as a string with context, so that it is in the
#            sandbox with all that it needs, such as "${pkgs.qemu-utils}/bin/qemu-img"
{ builder, src, name ? "disk", backing ? [ ], maxSize ? null, qemuImg ? null }:
(import ./lib.nix).mkImage {
  inherit builder name;
  what = "disk";
  attrs = { src = "${src}"; }
    // (if backing == [ ] then { } else { inherit backing; })
    // (if maxSize == null then { } else { maxSize = toString maxSize; })
    // (if qemuImg == null then { } else { qemuImg = "${qemuImg}"; });
} // { isDisk = true; }
