{
  description = "A small cloud on one host: a web server, a client that asks it, and hc alone in an image";

  inputs.hc.url = "path:../..";

  outputs =
    { hc, ... }:
    {
      clouds.demo = hc.lib.mkCloud { modules = [ ./cloud.nix ]; };
    };
}
