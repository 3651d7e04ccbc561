# What only virtual machines have: the computer that is made for them.
{
  lib,
  # Evaluated only where a machine needs its defaults.
  images,
}:
let
  inherit (lib) mkOption types;
  inherit (import ./sizes.nix { inherit lib; }) bytes;

  options =
    { config, ... }:
    {
      options = {
        kernel = mkOption {
          type = types.package;
          default = images.linux;
          defaultText = lib.literalExpression "images.linux";
          example = lib.literalExpression "images.kernel { lock = ./linux.lock.json; }";
          description = "Its kernel, as `images.kernel` makes one; `images.linux` is Debian's for clouds.";
        };
        initrd = mkOption {
          type = types.package;
          default = images.initrd { inherit (config) kernel; };
          defaultText = lib.literalExpression "images.initrd { kernel = …; }";
          description = "What the kernel starts from, with hc's `/init` and the modules of the kernel.";
        };
        kernelParams = mkOption {
          type = types.listOf (types.strMatching "[^[:space:]]+");
          default = [ ];
          example = [ "mitigations=off" ];
          description = "Words on the kernel's command line besides hc's own.";
        };
        memory = mkOption {
          type = bytes;
          default = 256 * 1024 * 1024;
          defaultText = lib.literalExpression ''"256M"'';
          example = "512M";
          description = ''
            Bytes of memory, or text with `M` or `G` (powers of 1024). They are taken from the host
            when the machine first writes to them.
          '';
        };
        vcpus = mkOption {
          type = types.ints.between 1 255;
          default = 1;
          description = "Virtual processors. `limits.cpus` is how much of the host's they may use.";
        };
        resume = mkOption {
          type = types.bool;
          default = false;
          description = ''
            Whether it starts from memory that was saved once, when a machine like it had come up and
            did not know yet who it was. All that start so share that memory until they write to it,
            and the places in memory where their kernel is.
          '';
        };
        balloon = mkOption {
          type = types.nullOr bytes;
          default = null;
          example = "128M";
          description = ''
            Bytes of `memory` that it may use once it has come up, at least `64M`: the rest is the host's, as after
            `hc memory`, which says something else while it runs. It takes some again rather than end programs. All
            of it when null.
          '';
        };
        layerSize = mkOption {
          type = bytes;
          default = 8 * 1024 * 1024 * 1024;
          defaultText = lib.literalExpression ''"8G"'';
          example = "20G";
          description = ''
            Bytes of the file system that keeps what the machine writes over its image. They take
            room on the host when they are written.
          '';
        };
      };
    };
in
[
  {
    options.vm = mkOption {
      type = types.nullOr (types.submodule options);
      default = null;
      defaultText = lib.literalMD "a virtual machine with the defaults of each option, with such a `kind`";
      example = {
        memory = "512M";
      };
      description = "The virtual computer it is, with `kind = \"microvm\"` and only with it.";
    };
  }
  (
    { config, ... }:
    {
      config.vm = lib.mkIf (config.kind == "microvm") {
        # Volumes are XFS, whose module others do without.
        initrd = lib.mkIf (config.volumes != { }) (
          lib.mkDefault (
            images.initrd {
              inherit (config.vm) kernel;
              modules = [ "xfs" ];
            }
          )
        );
      };
    }
  )
]
