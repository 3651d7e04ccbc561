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
      isolation
      ;
    image = withoutNulls { inherit (machine.image) rootfs manifest; };
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
    health = if machine.health == null then null else withoutEmpty machine.health;
  }
  // lib.optionalAttrs (machine.kind != "container") { vm = vmSpec machine.vm; };

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
  // lib.optionalAttrs vm.resume { inherit (vm) resume; };
in
{
  name = cloud;
  inherit (config) warnings;
  hosts = lib.mapAttrs (host: options: {
    spec = {
      inherit schema cloud host;
      inherit (options) networks;
    };
    machines = lib.mapAttrs (machineSpec host) options.machines;
  }) config.hosts;
}
