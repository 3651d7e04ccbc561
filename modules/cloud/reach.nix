# How one machine is reached: ports of the host, names. No part of what runs: changing it restarts
# nothing.
{ lib, ... }:
let
  inherit (lib) mkOption types;

  protocol = mkOption {
    type = types.enum [
      "tcp"
      "udp"
    ];
    default = "tcp";
    description = "Transport protocol.";
  };
in
{
  options = {
    ports = mkOption {
      type = types.listOf (
        types.submodule {
          options = {
            host = mkOption {
              type = types.port;
              description = "Port on the host.";
            };
            port = mkOption {
              type = types.port;
              description = "Port on the machine.";
            };
            inherit protocol;
            listen = mkOption {
              type = types.nullOr types.str;
              default = null;
              example = "192.0.2.1";
              description = "Address of the host, IPv4 or IPv6. All of them, of both, when null.";
            };
            network = mkOption {
              type = types.nullOr types.str;
              default = null;
              description = "Network over which the machine is reached: its first one when null.";
            };
          };
        }
      );
      default = [ ];
      example = [
        {
          host = 8080;
          port = 80;
        }
      ];
      description = ''
        Ports of the host that lead to the machine: for the host itself, for whoever reaches the
        host from outside, and for other machines, whatever `allow` says.
      '';
    };

    aliases = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "www" ];
      description = "More names of the machine in each of its networks, as CNAME records.";
    };

    services = mkOption {
      type = types.attrsOf (
        types.submodule {
          options = {
            port = mkOption {
              type = types.port;
              description = "Port on the machine.";
            };
            inherit protocol;
            priority = mkOption {
              type = types.ints.u16;
              default = 0;
              description = "Machines with lower ones are tried first.";
            };
            weight = mkOption {
              type = types.ints.u16;
              default = 0;
              description = "Share among machines of one priority.";
            };
          };
        }
      );
      default = { };
      example = {
        http.port = 80;
      };
      description = ''
        Services of the machine by name, as SRV records: `http` is found as
        `_http._tcp.<network>.<host>.<cloud>.internal`, together with those of other machines, and
        as `_http._tcp.<machine>.<network>.<host>.<cloud>.internal`.
      '';
    };
  };
}
