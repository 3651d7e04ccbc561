# From option values to what hc reads: the fields of crates/hc-spec, no more and no less.
{ lib, config }:
let
  schema = 1;
  cloud = config.cloud.name;
  withoutNulls = lib.filterAttrs (_: value: value != null);
  withoutEmpty = lib.filterAttrs (_: value: value != [ ] && value != { });

  # What the host does for a machine. It is no part of the machine: changing it restarts nothing.
  service =
    machine:
    withoutEmpty {
      ports = map withoutNulls machine.ports;
      inherit (machine) aliases services;
    };

  machineSpec = host: name: machine: {
    inherit
      schema
      cloud
      host
      name
      ;
    inherit (machine)
      kind
      command
      env
      networks
      restart
      isolation
      ;
    image = withoutNulls { inherit (machine.image) rootfs manifest; };
    stop = withoutNulls machine.stop;
    files = lib.mapAttrs (_: withoutNulls) machine.files;
    limits = withoutNulls machine.limits;
    ready = withoutNulls machine.ready;
  }
  // withoutNulls { inherit (machine) init user workdir; };

  # Of the other hosts only what they are called and where they are: their machines stay unevaluated.
  overlay =
    host: options:
    let
      others = lib.filterAttrs (name: other: name != host && other.address != null) config.hosts;
    in
    if config.overlay.mode == null || options.address == null || others == { } then
      { }
    else
      {
        inherit (config.overlay) mode;
        inherit (options) address;
        peers = lib.mapAttrs (
          _: other:
          withoutNulls {
            inherit (other) address publicKey;
            networks = builtins.attrNames other.networks;
          }
        ) others;
      };
in
{
  name = cloud;
  inherit (config) warnings;
  hosts = lib.mapAttrs (host: options: {
    spec = {
      inherit schema cloud host;
      inherit (options) networks;
    }
    // withoutEmpty {
      inherit (options) allow;
      machines = withoutEmpty (lib.mapAttrs (_: service) options.machines);
      overlay = overlay host options;
    };
    machines = lib.mapAttrs (machineSpec host) options.machines;
  }) config.hosts;
}
