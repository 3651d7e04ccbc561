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
      ./reach.nix
    ]
    # Their functions give values only: what they declare stands beside them.
    ++ import ./q35.nix { inherit lib; }
    ++ import ./vm.nix {
      inherit lib;
      inherit (specialArgs) images;
    }
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

    address = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "192.0.2.1";
      description = "Address at which other hosts of the cloud reach this one, IPv4 or IPv6, with `overlay.mode`.";
    };

    publicKey = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
      description = ''
        The only key under which the host is known, with `overlay.mode = "wireguard"`: what `hc net key`
        prints there. When null, deploys ask the host for it.
      '';
    };

    ssh = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "root@east.example:2222";
      description = ''
        Where deploys of other hosts ask this one for its key, over ssh and as root: `[USER@]HOST[:PORT]`,
        or a name in ssh's configuration. Its `address` when null.
      '';
    };

    networks = mkOption {
      type = types.attrsOf (
        types.submodule {
          options.mtu = mkOption {
            type = types.ints.between 1280 65535;
            default = 1500;
            description = "Bytes in the largest packet. 1280 is the least that IPv6 allows.";
          };
          options.lan = mkOption {
            type = types.nullOr types.str;
            default = null;
            example = "eth0";
            description = ''
              Link of the host onto whose wire the network's machines are exposed: each has a place of its own
              there, as with `machines.<name>.lan`.
            '';
          };
        }
      );
      default = { };
      example = {
        lan.mtu = 9000;
      };
      description = "Networks on this host, by name: each is a bridge, an IPv6 /64 and a DNS zone.";
    };

    allow = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [
        "web -> db:5432"
        "lan -> dns.dmz:53/udp,53"
        "outside -> web:443"
        "metrics -> host:9100"
      ];
      description = ''
        Who may open connections to whom, as `FROM -> TO` or `FROM -> TO:PORTS`. Networks are kept
        apart without it; machines of one network always reach each other. A side is a machine, a
        network, `machine.network`, `*.network`, `outside` (whoever comes in over the host's own
        links; only as FROM) or `host` (only as TO). Ports are numbers and ranges with commas
        between them, TCP unless `/udp` follows; without ports everything is allowed.
      '';
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
