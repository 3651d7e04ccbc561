# What one machine may use, and how it is kept away from its host.
{ lib, ... }:
let
  inherit (lib) mkOption types;

  sizes = import ./sizes.nix { inherit lib; };
  memory = sizes.bytes;

  rate =
    what:
    mkOption {
      type = types.nullOr memory;
      default = null;
      description = "${what} per second. Unlimited when null.";
    };
  weight =
    what:
    mkOption {
      type = types.nullOr (types.ints.between 1 10000);
      default = null;
      example = 200;
      description = "Share of ${what} where there is not enough; machines without have 100.";
    };

  # With or without `CAP_` would be two spellings of one thing.
  capability = types.strMatching "[A-BD-Z][A-Z_]*|C[B-Z_][A-Z_]*|CA[A-OQ-Z_][A-Z_]*";
  capabilities =
    description:
    mkOption {
      type = types.listOf capability;
      default = [ ];
      example = [ "NET_ADMIN" ];
      inherit description;
    };
in
{
  options = {
    limits = {
      memory = mkOption {
        type = types.nullOr memory;
        default = null;
        example = "256M";
        description = "Bytes of memory, or text with `K`, `M`, `G` or `T` (powers of 1024). Unlimited when null.";
      };
      cpus = mkOption {
        type = types.nullOr types.number;
        default = null;
        example = 0.5;
        description = "Number of CPUs, fractions allowed. Unlimited when null.";
      };
      pids = mkOption {
        type = types.nullOr types.ints.positive;
        default = null;
        example = 512;
        description = "Number of processes and threads. Unlimited when null.";
      };
      swap = mkOption {
        type = types.nullOr memory;
        default = null;
        example = "1G";
        description = "Bytes of swap besides `memory`, with which it goes. Unlimited when null.";
      };
      cpuWeight = weight "the processors";
      ioWeight = weight "the disks";
      io = mkOption {
        type = types.attrsOf (
          types.submodule {
            options = {
              readBytes = rate "Bytes read";
              writeBytes = rate "Bytes written";
              readRequests = rate "Requests to read";
              writeRequests = rate "Requests to write";
            };
          }
        );
        default = { };
        example = {
          "/var/lib/hc".writeBytes = "20M";
        };
        description = "Limits of disks: by their device, or by any path on a file system on them.";
      };
      rootSize = mkOption {
        type = types.nullOr memory;
        default = null;
        example = "2G";
        description = ''
          Bytes of the file system that keeps what it writes over its image, at least `32M`; they take room on the
          host when they are written. What does not fit fails as on a full disk. As far as the host has room when
          null. A change is another description: the machine begins with an empty layer of the new size.
        '';
      };
    };

    isolation = {
      userNamespace = mkOption {
        type = types.bool;
        default = true;
        description = "Whether its users are mapped to ids that mean nothing on the host.";
      };
      addCapabilities = capabilities "Capabilities it has besides the default ones, without `CAP_`.";
      dropCapabilities = capabilities "Default capabilities it does not have, without `CAP_`.";
      readOnlyRoot = mkOption {
        type = types.bool;
        default = false;
        description = "Whether nothing in its root can be written.";
      };
    };
  };
}
