{ lib }:
let
  cpus = {
    x86_64 = { bits = 64; family = "x86"; };
    i686 = { bits = 32; family = "x86"; };
    aarch64 = { bits = 64; family = "arm"; };
    armv7l = { bits = 32; family = "arm"; };
    riscv64 = { bits = 64; family = "riscv"; };
    powerpc64le = { bits = 64; family = "power"; };
  };
  kernels = {
    linux = { abi = "gnu"; };
    darwin = { abi = "macho"; };
    freebsd = { abi = "elf"; };
  };
  all = lib.concatMap (cpu: map (kernel: "${cpu}-${kernel}") (builtins.attrNames kernels)) (builtins.attrNames cpus);
  ofKernel = kernel: builtins.filter (lib.hasSuffix "-${kernel}") all;
in
rec {
  platforms = {
    inherit all;
    linux = ofKernel "linux";
    darwin = ofKernel "darwin";
    unix = lib.concatMap ofKernel (builtins.attrNames kernels);
    x86 = builtins.filter (system: (elaborate system).isx86) all;
  };
  elaborate =
    system:
    let
      parts = lib.splitString "-" system;
      cpu = cpus.${lib.head parts};
      kernel = lib.last parts;
    in
    {
      inherit system cpu kernel;
      config = "${lib.head parts}-unknown-${kernel}-${kernels.${kernel}.abi}";
      isLinux = kernel == "linux";
      isDarwin = kernel == "darwin";
      is64bit = cpu.bits == 64;
      isx86 = cpu.family == "x86";
    };
}
