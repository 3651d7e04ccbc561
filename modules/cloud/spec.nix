# From option values to what hc reads: the fields of crates/hc-spec, no more and no less.
{ lib, config }:
let
  schema = 1;
  cloud = config.cloud.name;
  withoutNulls = lib.filterAttrs (_: value: value != null);

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
    image = withoutNulls { inherit (machine.image) rootfs disk manifest; };
    stop = withoutNulls machine.stop;
    files = lib.mapAttrs (_: withoutNulls) machine.files;
    limits = withoutNulls machine.limits;
    ready = withoutNulls machine.ready;
  }
  // withoutNulls { inherit (machine) init user workdir; }
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
  };
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
