# A package set in the shape of nixpkgs: a fixpoint of layers, each an overlay of the one below.
# The packages themselves are written by `checks/bench/gen-packages`.
{
  system ? "x86_64-linux",
  config ? { },
  overlays ? [ ],
}:
let
  lib = import ./lib;

  platform = lib.systems.elaborate system;

  layers = [
    (import ./stdenv/layer.nix { inherit lib platform config; })
    (final: prev: {
      callPackage = lib.callPackageWith (final // { inherit lib config platform; });
      newScope = extra: lib.callPackageWith (final // { inherit lib config platform; } // extra);
      helpers = lib.makeScope final.newScope (import ./helpers.nix { inherit lib; });
    })
    (import ./all-packages.nix { inherit lib; })
    (import ./aliases.nix { inherit lib config; })
    (final: prev: lib.optionalAttrs (config ? packageOverrides) (config.packageOverrides prev))
  ];
in
lib.fix (lib.foldl' (lib.flip lib.extends) (final: { inherit system; }) (layers ++ overlays))
