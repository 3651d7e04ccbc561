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

  hosts.many = {
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

  imports = [ { hosts.many.machines.${name 1}.env.GENERATION = generation; } ];
}
