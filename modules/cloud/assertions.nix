# What modules require of the configuration as a whole.
{ lib, ... }:
let
  inherit (lib) mkOption types;
in
{
  options = {
    assertions = mkOption {
      type = types.listOf (
        types.submodule {
          options = {
            assertion = mkOption {
              type = types.bool;
              description = "What has to hold.";
            };
            message = mkOption {
              type = types.str;
              description = "What to tell when it does not: what is wrong, where, and what to do.";
            };
          };
        }
      );
      default = [ ];
      internal = true;
      visible = "shallow";
      example = [
        {
          assertion = false;
          message = "hosts.a.machines.b needs a network";
        }
      ];
      description = "Conditions without which the cloud is not deployed. All that fail are told at once.";
    };

    warnings = mkOption {
      type = types.listOf types.str;
      default = [ ];
      internal = true;
      description = "What a person should know about this configuration. Printed by every deploy.";
    };
  };
}
