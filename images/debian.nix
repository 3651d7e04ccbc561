# Debian from a lock file, configured for real by its own dpkg.
#
#   lock   the packages; `hc image lock` writes and refreshes it
#   files  laid over: { "/etc/motd" = { text = "hello\n"; mode = "0644"; uid = 0; gid = 0; }; }
{ builder, lock ? ./debian.lock.json, name ? "debian", files ? { } }:
let
  lib = import ./lib.nix;
  pinned = lib.readLock lock;
  deb = package: lib.fetch { name = package.file; inherit (package) urls sha256; };
in
lib.mkImage {
  inherit builder name;
  what = "debian-rootfs";
  attrs = {
    debs = map deb pinned.packages;
    epoch = toString pinned.epoch;
    # As root over 65,536 ids of its own: dpkg changes owners and roots.
    requiredSystemFeatures = [ "uid-range" ];
  } // (if files == { } then { } else { files = builtins.toJSON files; });
}
