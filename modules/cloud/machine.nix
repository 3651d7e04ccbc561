# What one machine is: image, command, files, networks.
{ lib, ... }:
let
  inherit (lib) mkOption types;

  # A path value is copied to the store; text that is a store path stays what it is.
  storeFile = types.coercedTo types.path (path: "${path}") types.str;

  # What an image of an archive says about itself is known when it is built: the machine reads it
  # when it starts, so that a plan needs no build.
  fromPackage =
    image:
    (if image.isDisk or false then { disk = "${image}/disk.raw"; } else { rootfs = "${image}/rootfs.erofs"; })
    // (if image.hasManifest or false then { manifest = "${image}/manifest.json"; } else { });

  file = types.submodule {
    options = {
      text = mkOption {
        type = types.nullOr types.lines;
        default = null;
        description = "Contents of the file. Either this or `source`.";
      };
      source = mkOption {
        type = types.nullOr storeFile;
        default = null;
        example = lib.literalExpression "./nginx.conf";
        description = "File whose contents it has. Either this or `text`.";
      };
      mode = mkOption {
        type = types.strMatching "[0-7]{3,4}";
        default = "0644";
        example = "0600";
        description = "Permission bits, octal.";
      };
    };
  };
in
{
  options = {
    kind = mkOption {
      type = types.enum [
        "container"
        "microvm"
        "q35"
      ];
      default = "container";
      description = ''
        What kind of machine it is. A `container` has namespaces on the host's kernel; a `microvm` is a
        small virtual machine with a kernel of its own; a `q35` is a PC with firmware, for Windows and any
        other system on a disk of its own.
      '';
    };

    image = mkOption {
      type = types.coercedTo types.package fromPackage (
        types.submodule {
          options.rootfs = mkOption {
            type = types.nullOr storeFile;
            default = null;
            description = "EROFS file that is the lower layer of the root of a container or microVM.";
          };
          options.disk = mkOption {
            type = types.nullOr storeFile;
            default = null;
            description = ''
              Raw disk of which a virtual machine's is a fork. A q35 boots from it; the root of a microVM is the
              largest partition with a file system, or the whole disk, and its init is the machine's command
              where that is not said.
            '';
          };
          options.manifest = mkOption {
            type = types.nullOr storeFile;
            default = null;
            description = ''
              File in which the image says what its command, environment, user, working directory
              and stop signal are, where the machine does not.
            '';
          };
        }
      );
      example = lib.literalExpression "images.debian";
      description = "What the machine runs from: an image, or a set that names its parts.";
    };

    command = mkOption {
      type = types.listOf types.str;
      default = [ ];
      defaultText = lib.literalMD "the image's own, when it is made from an archive";
      example = [
        "/usr/sbin/nginx"
        "-g"
        "daemon off;"
      ];
      description = ''
        Program and its arguments, not a shell line. Without a `/` the program is looked up in the
        image's `PATH`.
      '';
    };

    env = mkOption {
      type = types.attrsOf types.str;
      default = { };
      example = {
        LANG = "C.UTF-8";
      };
      description = "Environment of the command, besides `PATH`, `HOME`, `container` and `NOTIFY_SOCKET`.";
    };

    user = mkOption {
      type = types.nullOr (types.coercedTo types.ints.unsigned toString types.nonEmptyStr);
      default = null;
      defaultText = lib.literalMD "the image's own, or `root`";
      example = "www-data";
      description = "User in the image, name or number, that runs the command.";
    };

    init = mkOption {
      type = types.nullOr types.bool;
      default = null;
      defaultText = lib.literalMD "the image's own, or `false`";
      description = ''
        Whether the command is process 1 of the machine, as systemd and other init systems have to
        be. It then gets no signal that it has no handler for, and reaps what nobody waits for.
      '';
    };

    workdir = mkOption {
      type = types.nullOr (types.strMatching "/.*");
      default = null;
      defaultText = lib.literalMD "the image's own, or `/`";
      description = "Directory in the image where the command starts.";
    };

    files = mkOption {
      type = types.attrsOf file;
      default = { };
      example = {
        "/etc/motd".text = "hello";
      };
      description = "Files laid over the image, by absolute path.";
    };

    networks = mkOption {
      type = types.listOf types.str;
      default = [ ];
      defaultText = lib.literalExpression ''[ "lan" ], where the host has a network of that name'';
      description = ''
        Networks of the host that the machine is connected to. The first carries the default route
        and names the domain in which short names are looked up.
      '';
    };

    lan = mkOption {
      type = types.attrsOf (
        types.submodule {
          options = {
            addresses = mkOption {
              type = types.listOf types.str;
              default = [ ];
              example = [ "192.168.1.50/24" ];
              description = "Addresses of the machine there, with the length of the prefix.";
            };
            gateways = mkOption {
              type = types.listOf types.str;
              default = [ ];
              example = [ "192.168.1.1" ];
              description = "Routers there over which the machine reaches everybody else, instead of its host.";
            };
          };
        }
      );
      default = { };
      example = {
        eth0.addresses = [ "192.168.1.50/24" ];
      };
      description = ''
        Places of the machine's own on a wire of the host, by the name of the host's Ethernet link there:
        interfaces `lan0`, `lan1` and so on in the order of those names (macvlan; macvtap for virtual
        machines), besides those of its networks. There it is a computer like any other, with a MAC address
        that follows from its name: it takes what routers advertise and these addresses, its system may ask
        for more by DHCP, everybody on the wire reaches it, and hc filters nothing. The host itself reaches
        it over its networks only: macvlan keeps it from its own link. `networks.<name>.lan` of the host
        does this for all machines of a network.
      '';
    };
  };
}
