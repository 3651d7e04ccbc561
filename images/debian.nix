# Debian from a lock file, configured for real by its own dpkg.
#
#   lock   the packages; `hc image lock` writes and refreshes it
#   files  laid over: { "/etc/motd" = { text = "hello\n"; mode = "0644"; uid = 0; gid = 0; }; }
#   users  { ada = { uid = 1000; groups = [ "sudo" ]; sshKeys = [ "ssh-ed25519 …" ]; }; }; all that can
#          be said of one is in modules/image/debian.nix
{ builder, lock ? ./debian.lock.json, name ? "debian", files ? { }, users ? { } }:
let
  lib = import ./lib.nix;
  pinned = lib.readLock lock;
in
lib.mkImage {
  inherit builder name;
  what = "debian-rootfs";
  attrs = {
    debs = lib.debs lock;
    epoch = toString pinned.epoch;
    # As root over 65,536 ids of its own: dpkg changes owners and roots.
    requiredSystemFeatures = [ "uid-range" ];
  } // (if files == { } then { } else { files = builtins.toJSON files; })
  // (if users == { } then { } else { users = builtins.toJSON users; });
}
