# Options of one host.
{
  config,
  lib,
  specialArgs,
  ...
}:
let
  inherit (lib) mkOption types;

  # These depend on `lib` only: applied here once, not again for each machine.
  machine =
    map (file: { _file = toString file; } // import file { inherit lib; }) [
      ./machine.nix
      ./lifecycle.nix
      ./confinement.nix
      ./storage.nix
    ]
    ++ [ (import ./vm.nix { inherit lib; inherit (specialArgs) images; }) ]
    # The usual network needs no mention.
    ++ [ { networks = lib.mkIf (config.networks ? lan) (lib.mkDefault [ "lan" ]); } ];
in
{
  options = {
    deploy.target = mkOption {
      type = types.enum [ "local" ];
      default = "local";
      description = "How the host is reached: `local` is the computer that runs `hc deploy`.";
    };

    networks = mkOption {
      type = types.attrsOf (
        types.submodule {
          options.mtu = mkOption {
            type = types.ints.between 1280 65535;
            default = 1500;
            description = "Bytes in the largest packet. 1280 is the least that IPv6 allows.";
          };
        }
      );
      default = { };
      example = {
        lan.mtu = 9000;
      };
      description = "Networks on this host, by name: each is a bridge, an IPv6 /64 and a DNS zone.";
    };

    machines = mkOption {
      type = types.attrsOf (
        types.submoduleWith {
          modules = machine;
          inherit specialArgs;
          shorthandOnlyDefinesConfig = true;
        }
      );
      default = { };
      description = "Machines on this host, by name.";
    };
  };
}
