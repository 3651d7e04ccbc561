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

    overlay.mode = mkOption {
      type = types.nullOr (types.enum [
          "plain"
          "wireguard"
        ]);
      default = null;
      description = ''
        How the machines of one host reach those of another, over IPv6 and by name: machines on
        networks of one name reach each other wherever they are. `plain` carries packets as they are
        (VXLAN, UDP port 24789): for a wire between the hosts that may be read and written by
        everybody on it. `wireguard` encrypts them (UDP port 24790); the
        hosts' keys are exchanged by `hc deploy`. Not at all when null.
      '';
    };

    overlay.allow = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [
        "web.lan.east -> db.dmz.west:5432"
        "*.lan.east -> *.dmz.west:80-90"
      ];
      description = ''
        Who may open connections to whom from one host to another, besides machines on networks of one
        name: as `hosts.<name>.allow`, with `MACHINE.NETWORK.HOST` or `*.NETWORK.HOST` on both sides.
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
