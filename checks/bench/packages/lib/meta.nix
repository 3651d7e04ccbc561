{ lib }:
rec {
  addMeta = more: package: package // { meta = package.meta or { } // more; };
  dontDistribute = addMeta { hydraPlatforms = [ ]; };
  setPrio = priority: addMeta { inherit priority; };
  hiPrio = setPrio (-10);
  lowPrio = setPrio 10;
  availableOn =
    platform: package:
    !package ? meta.platforms || builtins.any (one: one == platform.system) package.meta.platforms;
}
