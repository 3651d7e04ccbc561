# Other names of packages, and what happens to those that are gone.
{ lib, config }:
final: prev:
let
  removed = name: throw "${name} is gone";
  aliases = lib.genAttrs' (lib.range 0 99) (n: {
    name = "old-${toString n}";
    value = prev."p${lib.fixedWidthNumber 5 n}" or (removed "old-${toString n}");
  });
in
lib.optionalAttrs (config.allowAliases or true) (lib.mapAttrs (_: lib.dontDistribute) aliases)
