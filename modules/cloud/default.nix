# Options of a cloud: everything one flake describes.
{ lib, specialArgs, ... }:
let
  inherit (lib) mkOption types;
in
{
  imports = [
    ./assertions.nix
    ./checks.nix
  ];

  options = {
    cloud.name = mkOption {
      type = types.str;
      example = "home";
      description = ''
        Name of the cloud, a lower-case DNS label. It is the last part of every DNS name in it
        (`<machine>.<network>.<host>.<cloud>.internal`) and addresses are derived from it, so
        changing it renumbers everything.
      '';
    };

    hosts = mkOption {
      type = types.attrsOf (
        types.submoduleWith {
          modules = [ ./host.nix ];
          # Modules that stand for one host or one machine get the same arguments as this one.
          inherit specialArgs;
          shorthandOnlyDefinesConfig = true;
        }
      );
      default = { };
      description = "Hosts of the cloud: computers that run the agent, by name.";
    };
  };
}
