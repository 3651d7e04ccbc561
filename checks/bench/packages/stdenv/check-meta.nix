# Whether a package may be evaluated, from what it says about itself.
{ lib, platform, config }:
let
  allowUnfree = config.allowUnfree or false;
  allowBroken = config.allowBroken or false;
  unfreeNames = config.allowedUnfree or [ ];

  fields = {
    description = builtins.isString;
    longDescription = builtins.isString;
    homepage = x: builtins.isString x || builtins.isList x;
    license = x: builtins.isAttrs x || builtins.isList x || builtins.isString x;
    maintainers = builtins.isList;
    platforms = builtins.isList;
    broken = builtins.isBool;
    priority = builtins.isInt;
    hydraPlatforms = builtins.isList;
    mainProgram = builtins.isString;
  };

  problems =
    meta:
    builtins.filter (name: !(fields ? ${name} && fields.${name} meta.${name})) (
      builtins.attrNames (removeAttrs meta [ "name" "outputsToInstall" "available" "position" ])
    );
in
rec {
  isFree = license: builtins.all (one: one.free or true) (lib.toList license);

  meta =
    args: name: outputs:
    let
      given = args.meta or { };
      at = builtins.unsafeGetAttrPos "pname" args;
    in
    given
    // {
      inherit name;
      outputsToInstall = [ (if builtins.elem "bin" outputs then "bin" else builtins.head outputs) ];
      available = !(given.broken or false) && lib.availableOn platform { meta = given; };
    }
    // lib.optionalAttrs (at != null) { position = "${baseNameOf at.file}:${toString at.line}"; };

  validity =
    meta: name:
    if !allowUnfree && meta ? license && !isFree meta.license && !builtins.elem name unfreeNames then
      { ok = false; reason = "${name} is not free"; }
    else if meta.broken or false && !allowBroken then
      { ok = false; reason = "${name} is broken"; }
    else if problems meta != [ ] then
      { ok = false; reason = "${name} says ${lib.concatStringsSep ", " (problems meta)} wrongly"; }
    else
      { ok = true; };
}
