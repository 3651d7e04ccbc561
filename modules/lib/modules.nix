# Evaluates a list of modules: collects what they import, and ties the knot between the values
# of options and the modules that read them.
{
  basics,
  show,
  properties,
  options,
  types,
  lib,
}:
let
  inherit (basics)
    all
    attrNames
    concatMap
    concatMapStringsSep
    filter
    functionArgs
    isAttrs
    isFunctionLike
    isList
    length
    map
    mapAttrs
    recursiveUpdate
    reverseList
    setAttrByPath
    withContext
    ;
  inherit (options.public) mkOption;
  inherit (show) showDefs showOption;

  collect = import ./collect.nix { inherit basics show; };
  inherit
    (import ./tree.nix {
      inherit
        basics
        show
        properties
        options
        types
        ;
    })
    declare
    mergeTree
    ;

  # `_module.*`: what modules say about the evaluation itself.
  internals = {
    key = "lib/modules.nix";
    file = "lib/modules.nix";
    children = [ ];
    config = { };
    options._module = {
      args = mkOption {
        type = types.lazyAttrsOf types.raw;
        default = { };
        internal = true;
        description = "Further arguments of every module.";
      };
      check = mkOption {
        type = types.bool;
        default = true;
        internal = true;
        description = "Whether definitions of options that do not exist are errors.";
      };
      freeformType = mkOption {
        type = types.nullOr types.optionType;
        default = null;
        internal = true;
        description = "Type of the definitions that match no option.";
      };
    };
  };

  # All at once: a second look for the second mistake costs a person more than a longer message.
  unmatchedError =
    unmatched:
    throw (
      concatMapStringsSep "\n" (
        one:
        "The option `${
          showOption (one.prefix ++ [ one.name ])
        }' does not exist. Definition values:${showDefs one.defs}${show.suggest one.name one.known}"
      ) unmatched
    );

  # Without functions there is nothing in a module that differs between two evaluations.
  isConstant =
    module:
    if isFunctionLike module || isList module then
      false
    else if isAttrs module then
      all isConstant (module.imports or [ ])
    else
      isConstant (import module);

  # What the instances of a submodule can share, or null.
  prepare =
    loc: modules:
    if all isConstant modules then
      let
        nodes = reverseList ([ internals ] ++ collect (_: _: null) modules [ ]);
      in
      {
        declared = declare loc nodes;
        configured = filter (node: node.config != { }) nodes;
      }
    else
      null;

  # `definitions` are nodes (see collect.nix) that come after the modules: those of a submodule.
  evaluate =
    {
      modules,
      specialArgs ? { },
      prefix ? [ ],
      definitions ? [ ],
      instanceArgs ? { },
      prepared ? null,
    }:
    let
      moduleArgs = {
        inherit lib config specialArgs;
        inherit (tree) options;
      }
      // specialArgs;
      # Looked up late: `_module.args` may itself come from modules.
      lateArg =
        file: name:
        withContext "while evaluating the module argument `${name}' in `${file}':" (
          instanceArgs.${name} or config._module.args.${name}
        );
      call =
        file: f:
        let
          late = removeAttrs (functionArgs f) (attrNames moduleArgs);
        in
        f (if late == { } then moduleArgs else moduleArgs // mapAttrs (name: _: lateArg file name) late);

      # Last first, as definitions of the importing module stand in front of the imported one's.
      nodes = reverseList ([ internals ] ++ collect call modules definitions);
      tree =
        if prepared != null && all (def: !(def ? module)) definitions then
          mergeTree prefix prepared.declared (reverseList definitions ++ prepared.configured)
        else
          mergeTree prefix (declare prefix nodes) nodes;

      freeform = if tree.defined ? _module then tree.config._module.freeformType else null;
      config =
        if freeform == null then
          tree.config
        else
          recursiveUpdate (freeform.merge prefix (
            concatMap (
              one:
              map (def: {
                inherit (def) file;
                value = setAttrByPath (basics.drop (length prefix) one.prefix ++ [ one.name ]) def.value;
              }) one.defs
            ) tree.unmatched
          )) tree.config;
      checked =
        if freeform == null && tree.unmatched != [ ] && config._module.check then
          unmatchedError tree.unmatched
        else
          config;
    in
    {
      config = removeAttrs checked [ "_module" ];
      inherit (tree) options;
      inherit (checked) _module;
    };
in
{
  inherit evaluate prepare;
  evalModules =
    {
      modules,
      specialArgs ? { },
      prefix ? [ ],
      class ? null,
    }:
    evaluate { inherit modules specialArgs prefix; };
}
