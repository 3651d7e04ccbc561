# The flakes themselves, as a flake evaluator calls them, and the NixOS module.
{ lib, ... }:
let
  root = ../../..;
  # Whatever a cloud evaluates, nixpkgs is not fetched for it.
  hc = (import (root + "/flake.nix")).outputs {
    self = hc;
    nixpkgs = throw "nixpkgs was forced";
  };
  clouds = host: ((import (root + "/hosts/${host}/flake.nix")).outputs {
    self = throw "self was forced";
    inherit hc;
  }).clouds;
  lock = dir: builtins.fromJSON (builtins.readFile (root + "/${dir}flake.lock"));

  package = derivation {
    name = "hc";
    system = "x86_64-linux";
    builder = "/hc";
  };
  nixos =
    (lib.evalModules {
      modules = [
        (root + "/modules/nixos.nix")
        {
          options = {
            environment.systemPackages = lib.mkOption { type = lib.types.listOf lib.types.package; };
            boot.kernelModules = lib.mkOption { type = lib.types.listOf lib.types.str; };
            systemd.services = lib.mkOption {
              type = lib.types.attrsOf lib.types.anything;
              default = { };
            };
          };
          config._module.args.pkgs.nftables = package;
          config.services.hc = { inherit package; };
        }
        { services.hc.enable = true; }
      ];
    }).config;
in
{
  clouds = {
    expr = {
      demo = builtins.attrNames (clouds "demo");
      many = builtins.attrNames (clouds "many");
    };
    expected = {
      demo = [ "demo" ];
      many = [
        "many"
        "thousand"
      ];
    };
  };
  cloud-is-a-function-of-the-builder = {
    expr = builtins.functionArgs (clouds "demo").demo;
    expected.builder = false;
  };
  # One nixpkgs for all, whoever is the root of the lock.
  same-nixpkgs = {
    expr = map (host: (lock host).nodes.nixpkgs) [
      "hosts/demo/"
      "hosts/many/"
    ];
    expected = map (_: (lock "").nodes.nixpkgs) [
      1
      2
    ];
  };
  nixos-module = {
    expr = {
      inherit (nixos.systemd.services.hc) wantedBy;
      inherit (nixos.systemd.services.hc.serviceConfig) ExecStart KillMode;
    };
    expected = {
      wantedBy = [ "multi-user.target" ];
      ExecStart = "${package}/bin/hc agent";
      KillMode = "process";
    };
  };
}
