{ lib }:
rec {
  # The result of `f args`, with ways to ask for it with other arguments.
  makeOverridable =
    f:
    let
      mirror = g: lib.setFunctionArgs g (lib.functionArgs f);
    in
    mirror (
      args:
      let
        result = f args;
        with' = new: args // (if lib.isFunction new then new args else new);
        again = g: makeOverridable (mirror (old: g (f old)));
      in
      if builtins.isAttrs result then
        result
        // {
          override = lib.setFunctionArgs (new: makeOverridable f (with' new)) (lib.functionArgs f);
          overrideDerivation = change: again (package: overrideDerivation package change) args;
          ${if result ? overrideAttrs then "overrideAttrs" else null} =
            change: again (package: package.overrideAttrs change) args;
        }
      else if lib.isFunction result then
        lib.setFunctionArgs result (lib.functionArgs result) // { override = new: makeOverridable f (with' new); }
      else
        result
    );

  overrideDerivation =
    package: change:
    let
      made = derivation (package.drvAttrs // change package);
    in
    lib.flip (builtins.foldl' (done: name: if package ? ${name} then done // { ${name} = package.${name}; } else done)) [
      "meta"
      "passthru"
      "pname"
      "version"
    ] made;

  callPackageWith =
    auto: file: args:
    let
      f = if lib.isFunction file then file else import file;
      wanted = lib.functionArgs f;
      all = builtins.intersectAttrs wanted auto // args;
      missing = builtins.filter (name: !(wanted.${name} || all ? ${name})) (builtins.attrNames wanted);
    in
    if missing == [ ] then makeOverridable f all else throw "an argument is missing: ${builtins.head missing}";

  makeScope =
    newScope: f:
    let
      self = f self // {
        newScope = scope: newScope (self // scope);
        callPackage = self.newScope { };
        overrideScope = g: makeScope newScope (lib.extends g f);
      };
    in
    self;
}
