# What one machine may use, and how it is kept away from its host.
{ lib, ... }:
let
  inherit (lib) mkOption types;

  memory = import ./bytes.nix { inherit lib; };

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
