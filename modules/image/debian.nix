# What `images.debianWith` takes.
{ lib, ... }:
let
  inherit (lib) mkOption types;

  id = types.ints.between 0 65535;
  optional =
    type: usual: more:
    mkOption (
      {
        type = types.nullOr type;
        default = null;
        defaultText = lib.literalMD usual;
      }
      // more
    );
  absolute = types.strMatching "/[^:]*";

  file = types.submodule {
    options = {
      text = mkOption {
        type = types.lines;
        description = "Contents of the file.";
      };
      mode = mkOption {
        type = types.strMatching "[0-7]{3,4}";
        default = "0644";
        description = "Permission bits, octal.";
      };
      uid = mkOption {
        type = id;
        default = 0;
        description = "Number of its owner.";
      };
      gid = mkOption {
        type = id;
        default = 0;
        description = "Number of its group.";
      };
    };
  };

  user = types.submodule {
    options = {
      uid = optional id "that of the package's user" {
        example = 1000;
        description = "Number of the user. One that no package makes has to have one.";
      };
      gid = optional id "the uid, or that of the package's user" {
        description = "Number of its own group. Where no group has it, one of the user's name is made.";
      };
      groups = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "sudo" ];
        description = "Other groups it is in, by name. They have to be in the packages.";
      };
      home = optional absolute "`/home/<name>`, or that of the package's user" {
        description = "Home directory. One that is not there is made, with what `/etc/skel` has.";
      };
      shell = optional absolute "`/bin/bash`, or that of the package's user" {
        description = "Login shell.";
      };
      comment = optional (types.strMatching "[^:]*") "nothing" { description = "Full name."; };
      sshKeys = mkOption {
        type = types.listOf types.singleLineStr;
        default = [ ];
        example = [ "ssh-ed25519 AAAA… ada@home" ];
        description = "Public keys that may log in, as lines of `~/.ssh/authorized_keys`.";
      };
      passwordHash = optional (types.strMatching "[^:]*") "no password opens the account" {
        example = "$y$j9T$…";
        description = ''
          Password as `mkpasswd` hashes it. It is in the store, where everybody on the host can read
          it: do not use a hash of a password that is used elsewhere.
        '';
      };
    };
  };
in
{
  options = {
    lock = mkOption {
      type = types.path;
      defaultText = lib.literalMD "the packages of `images.debian`";
      default = ../../images/debian.lock.json;
      example = lib.literalExpression "./web.lock.json";
      description = "Packages, as `hc image lock` pins them.";
    };
    name = mkOption {
      type = types.strMatching "[a-zA-Z0-9+_?=-][a-zA-Z0-9+._?=-]*";
      default = "debian";
      description = "Name of the image in the store.";
    };
    files = mkOption {
      type = types.attrsOf file;
      default = { };
      example = {
        "/etc/motd".text = "hello\n";
      };
      description = "Files laid over the packages, by absolute path.";
    };
    users = mkOption {
      type = types.attrsOf user;
      default = { };
      example = {
        ada = {
          uid = 1000;
          groups = [ "sudo" ];
        };
      };
      description = ''
        Users beside those that the packages make, by name. One of a package, such as `root`, is
        changed in what is said here.
      '';
    };
  };
}
