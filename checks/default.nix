# What `nix flake check` runs besides building hc.
{
  pkgs,
  nixpkgs,
  self,
}:
let
  inherit (pkgs) lib;

  sources = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../checks/modules
      ../flake.lock
      ../flake.nix
      ../hosts
      ../modules
    ];
  };
in
{
  inherit (self.packages.${pkgs.stdenv.hostPlatform.system}) hc;

  # The table of cases of modules/, with our `lib` and with nixpkgs' own.
  modules = pkgs.runCommand "check-modules" { nativeBuildInputs = [ pkgs.nix ]; } ''
    # An evaluator inside a build has a store of its own.
    for dir in STORE STATE LOG LOCALSTATE CONF; do
      export NIX_''${dir}_DIR=$PWD/nix/$dir
    done
    export HOME=$PWD
    bash ${sources}/checks/modules/run
    bash ${sources}/checks/modules/run --lib ${nixpkgs}/lib
    touch $out
  '';
}
