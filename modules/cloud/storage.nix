# What one machine sees besides its image: volumes, files and devices of the host, memory.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  sizes = import ./sizes.nix { inherit lib; };
  path = types.strMatching "/.+";

  volume = types.submodule {
    options = {
      path = mkOption {
        type = path;
        example = "/var/lib/postgresql";
        description = "Directory in the machine where it is seen.";
      };
      size = mkOption {
        type = sizes.bytes;
        example = "10G";
        description = ''
          Bytes it has room for, at least `300M`; what is not written takes no room on the host. It grows when
          this does, while the machine runs too (`hc volume grow`), and never shrinks.
        '';
      };
      readOnly = mkOption {
        type = types.bool;
        default = false;
        description = "Whether the machine can only read it.";
      };
      keep = mkOption {
        type = types.bool;
        default = false;
        description = "Whether `hc volume rm` and `hc gc --state` leave it alone, also when the machine is gone.";
      };
      snapshots = mkOption {
        type = types.nullOr (
          types.submodule {
            options.every = mkOption {
              type = sizes.seconds;
              example = "1h";
              description = "Time between two snapshots, at least a minute.";
            };
            options.keep = mkOption {
              type = types.ints.positive;
              default = 24;
              description = "How many are kept; the oldest go first. Those made by hand are not counted.";
            };
          }
        );
        default = null;
        example = {
          every = "1h";
          keep = 24;
        };
        description = "When snapshots are made of it. They share what did not change (reflinks), or are not made.";
      };
    };
  };

  bind = types.submodule {
    options = {
      source = mkOption {
        type = path;
        example = "/srv/photos";
        description = "File or directory of the host.";
      };
      readOnly = mkOption {
        type = types.bool;
        default = true;
        description = "Whether the machine can only read it.";
      };
    };
  };

  memory = types.submodule {
    options = {
      size = mkOption {
        type = types.nullOr sizes.bytes;
        default = null;
        example = "64M";
        description = "Bytes it has room for; half of the host's memory when null.";
      };
      mode = mkOption {
        type = types.strMatching "[0-7]{3,4}";
        default = "1777";
        description = "Permission bits, octal.";
      };
    };
  };

  device = types.submodule {
    options = {
      access = mkOption {
        type = types.enum [
          "r"
          "w"
          "rw"
        ];
        default = "rw";
        description = "What the machine may do with it.";
      };
      group = mkOption {
        type = types.nullOr types.ints.unsigned;
        default = null;
        description = "Number of the group in the machine that may; everybody when null.";
      };
    };
  };

  places =
    type: example: description:
    mkOption {
      type = types.attrsOf type;
      default = { };
      inherit example description;
    };
in
{
  options = {
    volumes = places volume {
      data = {
        path = "/var/lib/app";
        size = "10G";
      };
    } "Directories that outlive the machine, by name: deploys, rollbacks and its removal leave them alone.";

    binds = places bind { "/srv/photos".source = "/srv/photos"; } ''
      Files and directories of the host, by their path in the machine. Owners have the same numbers on
      both sides. Paths that would give the host away are refused when the machine starts. For containers:
      a virtual machine has its own kernel, and none of the host's files.
    '';

    tmpfs = places memory { "/tmp".size = "64M"; } ''
      Directories in memory, by path, empty at every start. What is in them counts as the machine's
      memory. `/run` and `/dev/shm` always are; here they can be given a size.
    '';

    devices = places device { "/dev/fuse" = { }; } "Devices of the host, by path; the same path in the machine. For containers.";
  };
}
