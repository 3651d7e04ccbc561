# `count` machines that differ in name only, and one line that makes one of them differ.
{
  images,
  lib,
  count,
  ...
}:
let
  # Change this line and deploy: machine `m0001`, and no other, is another one.
  generation = "1";

  name = n: "m${lib.fixedWidthNumber 4 n}";
in
{
  cloud.name = "many";

  # Of a thousand names two may hash to one IPv4 address; on a host of this name none do.

  hosts.lots = {
    networks.lan = { };
    machines = lib.genAttrs (map name (lib.range 1 count)) (_: {
      image = images.minimal;
      command = [
        "/bin/hc"
        "guest"
        "init"
      ];
      ready.when = "notify";
      limits = {
        memory = "32M";
        pids = 16;
      };
    });
  };

  imports = [ { hosts.lots.machines.${name 1}.env.GENERATION = generation; } ];
}
