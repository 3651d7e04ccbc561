{
  description = "Single machines to start and stop by hand, to measure with";

  inputs.hc.url = "path:../../..";

  outputs =
    { hc, ... }:
    {
      clouds.bench = hc.lib.mkCloud { modules = [ ./cloud.nix ]; };
    };
}
