{
  description = "Many small machines on one host, to measure with";

  inputs.hc.url = "path:../..";

  outputs =
    { hc, ... }:
    let
      many =
        count:
        hc.lib.mkCloud {
          modules = [ ./cloud.nix ];
          specialArgs = { inherit count; };
        };
    in
    {
      clouds = {
        many = many 20;
        thousand = many 1000;
      };
    };
}
