# From option values to what hc reads: the fields of crates/hc-spec, no more and no less.
{ lib, config }:
let
  schema = 1;
  cloud = config.cloud.name;
  withoutNulls = lib.filterAttrs (_: value: value != null);
  # What most machines do not say is no part of what they are: their closures stay the same.
  withoutEmpty = lib.filterAttrs (
    _: value:
    value != null && value != { } && value != [ ] && value != false
  );
  volume =
    volume:
    withoutEmpty volume
    // (
      if volume.snapshots == null then
        { }
      else
        {
          snapshots = {
            everySec = volume.snapshots.every;
            inherit (volume.snapshots) keep;
          };
        }
    );

  # What the host does for a machine. It is no part of the machine: changing it restarts nothing.
  service =
    machine:
    withoutEmpty {
      ports = map withoutNulls machine.ports;
      inherit (machine) aliases services;
    };

  # Where its networks are exposed, and where it says itself.
  lan =
    networks: machine:
    let
      exposed = lib.filter (parent: parent != null) (map (network: networks.${network}.lan or null) machine.networks);
    in
    lib.genAttrs exposed (_: { }) // lib.mapAttrs (_: withoutEmpty) machine.lan;

  machineSpec = networks: host: name: machine: {
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
      isolation
      ;
    image = withoutNulls { inherit (machine.image) rootfs disk manifest; };
    stop = withoutNulls machine.stop;
    files = lib.mapAttrs (_: withoutNulls) machine.files;
    limits = withoutEmpty (machine.limits // { io = lib.mapAttrs (_: withoutNulls) machine.limits.io; });
    ready = withoutEmpty machine.ready;
    restart = withoutNulls machine.restart;
  }
  // withoutNulls { inherit (machine) init user workdir; }
  // withoutEmpty {
    volumes = lib.mapAttrs (_: volume) machine.volumes;
    tmpfs = lib.mapAttrs (_: withoutNulls) machine.tmpfs;
    devices = lib.mapAttrs (_: withoutNulls) machine.devices;
    inherit (machine) binds;
    lan = lan networks machine;
    health = if machine.health == null then null else withoutEmpty machine.health;
  }
  // lib.optionalAttrs (machine.kind == "microvm") { vm = vmSpec machine.vm; }
  // lib.optionalAttrs (machine.kind == "q35") { q35 = q35Spec machine.q35; };

  q35Spec = q35: withoutNulls (q35 // { windows = if q35.windows == null then null else withoutNulls q35.windows; });

  vmSpec = vm: {
    inherit (vm)
      kernelParams
      layerSize
      memory
      vcpus
      ;
    kernel = "${vm.kernel}/vmlinux";
    initrd = "${vm.initrd}/initrd";
  }
  // lib.optionalAttrs vm.resume { inherit (vm) resume; }
  // lib.optionalAttrs (vm.balloon != null) { inherit (vm) balloon; };

  # Of the other hosts only what they are called and where they are: their machines stay unevaluated.
  overlay =
    host: options:
    let
      others = lib.filterAttrs (name: other: name != host && other.address != null) config.hosts;
    in
    if config.overlay.mode == null || options.address == null || (others == { } && config.overlay.mode == "plain") then
      { }
    else
      {
        inherit (config.overlay) mode;
        inherit (options) address;
        inherit (config.overlay) allow;
        peers = lib.mapAttrs (
          _: other:
          withoutNulls {
            inherit (other) address publicKey ssh;
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
      networks = lib.mapAttrs (_: network: { inherit (network) mtu; }) options.networks;
    }
    // withoutEmpty {
      inherit (options) allow;
      machines = withoutEmpty (lib.mapAttrs (_: service) options.machines);
      overlay = overlay host options;
    };
    machines = lib.mapAttrs (machineSpec options.networks host) options.machines;
  }) config.hosts;
}
