# What only machines of the kind `q35` have: a PC with firmware, for any system.
{ lib }:
let
  inherit (lib) mkOption types;
  inherit (import ./sizes.nix { inherit lib; }) bytes;
  storeFile = types.coercedTo types.path (path: "${path}") types.str;

  keys = mkOption {
    type = types.listOf types.nonEmptyStr;
    default = [ ];
    example = [ "ssh-ed25519 AAAA… ada@home" ];
    description = "OpenSSH public keys of who may log in as the administrator.";
  };

  windows = types.submodule {
    options = {
      edition = mkOption {
        type = types.ints.positive;
        default = 1;
        description = "Number of the edition in the ISO's `install.wim`.";
      };
      productKey = mkOption {
        type = types.nullOr types.nonEmptyStr;
        default = null;
        description = "Product key, which everybody who reads the store can read. Without one Windows asks later.";
      };
      locale = mkOption {
        type = types.strMatching "[a-z]{2,3}-[A-Za-z-]+";
        default = "en-US";
        description = "Language of the system, its keyboard and its formats.";
      };
      timeZone = mkOption {
        type = types.nonEmptyStr;
        default = "UTC";
        example = "W. Europe Standard Time";
        description = "Time zone, by its name in Windows.";
      };
      drivers = mkOption {
        type = types.strMatching "[A-Za-z0-9]+";
        default = "w11";
        example = "2k22";
        description = "Folder of the system's drivers on the virtio ISO.";
      };
      rdp = mkOption {
        type = types.bool;
        default = true;
        description = "Whether remote desktop is switched on.";
      };
      ssh = mkOption {
        type = types.bool;
        default = false;
        description = "Whether OpenSSH's server is installed, which Windows downloads, and switched on.";
      };
      authorizedKeys = keys;
    };
  };

  options = {
    options = {
      memory = mkOption {
        type = bytes;
        default = 4 * 1024 * 1024 * 1024;
        defaultText = lib.literalExpression ''"4G"'';
        example = "8G";
        description = "Bytes of memory, or text with `M` or `G` (powers of 1024).";
      };
      vcpus = mkOption {
        type = types.ints.between 1 255;
        default = 2;
        description = "Virtual processors. `limits.cpus` is how much of the host's they may use.";
      };
      diskSize = mkOption {
        type = types.nullOr bytes;
        default = null;
        defaultText = lib.literalMD "the image's size";
        example = "64G";
        description = "Bytes of its disk. They take room on the host when they are written.";
      };
      secureBoot = mkOption {
        type = types.bool;
        default = true;
        description = "Whether the firmware starts only what Microsoft's keys have signed.";
      };
      tpm = mkOption {
        type = types.bool;
        default = true;
        description = "Whether it has a TPM 2.0.";
      };
      media = mkOption {
        type = types.listOf storeFile;
        default = [ ];
        example = lib.literalExpression ''[ (images.imported { name = "windows.iso"; hash = "sha256-…"; }) ]'';
        description = ''
          ISO files that an empty disk is installed from, the one that is started from first. They are
          attached as long as nothing was written to the disk, and not any more afterwards.
        '';
      };
      cloudInit = mkOption {
        type = types.nullOr (types.submodule { options.authorizedKeys = keys; });
        default = null;
        example = { };
        description = ''
          What cloud-init in the image is told besides name and addresses, on a CD; null where the image
          has none.
        '';
      };
      windows = mkOption {
        type = types.nullOr windows;
        default = null;
        example = {
          edition = 6;
        };
        description = ''
          What the setup of Windows is answered, besides name and addresses, with its ISO and that of the
          virtio drivers in `media`. The administrator's password is made by the host, which keeps it in
          `windows-password` beside the machine's disk.
        '';
      };
    };
  };
in
[
  {
    options.q35 = mkOption {
      type = types.nullOr (types.submodule options);
      default = null;
      defaultText = lib.literalMD "a PC with the defaults of each option, with such a `kind`";
      example = {
        diskSize = "64G";
      };
      description = "The PC it is, with `kind = \"q35\"` and only with it.";
    };
  }
  (
    { config, ... }:
    {
      config = lib.mkIf (config.kind == "q35") {
        q35 = { };
        # A whole system is shut down, and comes up.
        stop.timeoutSec = lib.mkDefault 60;
        ready.timeoutSec = lib.mkDefault 300;
        # An empty disk needs no image.
        image = { };
      };
    }
  )
]
