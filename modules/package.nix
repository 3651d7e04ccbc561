# hc as a nixpkgs package: one static executable.
{
  lib,
  rustPlatform,
  stdenv,
}:
rustPlatform.buildRustPackage {
  pname = "hc";
  version = (lib.importTOML ../Cargo.toml).workspace.package.version;

  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../.cargo
      ../Cargo.lock
      ../Cargo.toml
      ../cli
      ../crates
      ../images/lib.nix
      ../guest
    ];
  };
  cargoLock.lockFile = ../Cargo.lock;
  cargoBuildFlags = [ "--package=hc" ];

  # .cargo/config.toml links the C library statically.
  buildInputs = lib.optional stdenv.hostPlatform.isGnu stdenv.cc.libc.static;

  # The tests make namespaces, mounts and networks, which the build sandbox does not allow.
  doCheck = false;

  meta = {
    description = "Containers, microVMs, Windows VMs and lambdas from Nix files";
    license = [
      lib.licenses.mit
      lib.licenses.asl20
    ];
    mainProgram = "hc";
    platforms = [ "x86_64-linux" ];
  };
}
