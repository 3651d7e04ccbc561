# Evaluates a list of modules: collects what they import, merges their options, gives each
# option the value its definitions make.
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
    elem
    filter
    foldl'
    functionArgs
    head
    imap1
    isAttrs
    isFunctionLike
    isList
    length
    map
    mapAttrs
    recursiveUpdate
    reverseList
    setAttrByPath
    tail
    withContext
    zipAttrsWith
    ;
  inherit (options.public) isOption mkOption;
  inherit (properties.public) mkOptionDefault;
  inherit (show) showDefs showOption;

  collect = import ./collect.nix { inherit basics show; };
  group = zipAttrsWith (_: parts: parts);

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

  # One level of the option tree. `unmatched` are the definitions that no option takes.
  mergeTree =
    prefix: decls: defs:
    let
      declared = group (
        map (
          decl:
          mapAttrs (_: options: {
            inherit (decl) file;
            inherit options;
          }) decl.options
        ) decls
      );
      defined = group (
        concatMap (
          def:
          map (
            values:
            if isAttrs values then
              mapAttrs (_: value: {
                inherit (def) file;
                inherit value;
              }) values
            else
              throw "`${showOption prefix}' is a set of options, but it is given ${show.article values}:${
                showDefs [
                  {
                    inherit (def) file;
                    value = values;
                  }
                ]
              }\nDid you mean one of ${
                concatMapStringsSep ", " (name: "`${showOption (prefix ++ [ name ])}'") (attrNames declared)
              }?"
          ) (properties.pushDown def.config)
        ) defs
      );
      parts = mapAttrs (
        name: here:
        let
          loc = prefix ++ [ name ];
          mine = defined.${name} or [ ];
          leaves = filter (decl: isOption decl.options) here;
        in
        if leaves == [ ] then
          mergeTree loc here (
            map (def: {
              inherit (def) file;
              config = def.value;
            }) mine
          )
        else if length leaves == length here then
          evalOption loc here mine
        else
          throw "`${showOption loc}' is declared both as an option and as a set of options, in ${
            show.showFiles (map (decl: decl.file) here)
          }."
      ) declared;
      strangers = removeAttrs defined (attrNames declared);
    in
    {
      inherit defined;
      options = mapAttrs (_: part: part.options) parts;
      config = mapAttrs (_: part: part.config) parts;
      unmatched =
        map (name: {
          inherit prefix name;
          defs = strangers.${name};
          known = attrNames declared;
        }) (attrNames strangers)
        ++ concatMap (name: parts.${name}.unmatched) (attrNames parts);
    };

  evalOption =
    loc: decls: defs:
    let
      option = foldl' (joinDeclarations loc) (head decls) (tail decls);
      opt = option.options;
      type = opt.type or types.unspecified;
      defaults =
        if opt ? default then
          [
            {
              inherit (option) file;
              value = mkOptionDefault opt.default;
            }
          ]
        else
          [ ];
      all = defaults ++ defs;
      merged = options.mergeDefinitions loc type all;
      checked =
        if opt.readOnly or false && length all > 1 then
          throw "The option `${showOption loc}' is read-only, but it's set multiple times. Definition values:${showDefs merged.live}"
        else
          merged.value;
      value = withContext "while evaluating the option `${showOption loc}':" (
        if opt ? apply then opt.apply checked else checked
      );
    in
    {
      config = value;
      unmatched = [ ];
      options = opt // {
        inherit loc type value;
        inherit (merged) isDefined;
        declarations = map (decl: decl.file) decls;
        definitions = map (def: def.value) merged.live;
        definitionsWithLocations = map (def: {
          inherit (def) file value;
        }) merged.live;
        files = map (def: def.file) merged.live;
        highestPrio = (head merged.live).priority;
        __toString = _: showOption loc;
      };
    };

  joinDeclarations =
    loc: a: b:
    let
      twice = filter (name: a.options ? ${name} && b.options ? ${name}) [
        "default"
        "example"
        "description"
        "apply"
      ];
      type =
        if !(a.options ? type && b.options ? type) then
          a.options.type or b.options.type or types.unspecified
        else
          a.options.type.typeMerge b.options.type;
    in
    if twice != [ ] || type == null then
      throw "The option `${showOption loc}' in `${b.file}' is already declared in `${a.file}'."
    else
      {
        inherit (a) file;
        options = a.options // b.options // { inherit type; };
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

  # `definitions` are nodes (see collect.nix) that come after the modules: those of a submodule.
  evaluate =
    {
      modules,
      specialArgs ? { },
      prefix ? [ ],
      definitions ? [ ],
      instanceArgs ? { },
    }:
    let
      moduleArgs = {
        inherit lib config specialArgs;
        inherit (tree) options;
      }
      // specialArgs;
      # Looked up late: `_module.args` may itself come from modules.
      lateArg =
        key: name:
        withContext "while evaluating the module argument `${name}' in `${key}':" (
          instanceArgs.${name} or config._module.args.${name}
        );
      call =
        key: f:
        let
          late = removeAttrs (functionArgs f) (attrNames moduleArgs);
        in
        f (if late == { } then moduleArgs else moduleArgs // mapAttrs (name: _: lateArg key name) late);

      # Last first, as definitions of the importing module stand in front of the imported one's.
      nodes = reverseList ([ internals ] ++ collect call modules definitions);
      tree = mergeTree prefix nodes nodes;

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
  inherit evaluate;
  evalModules =
    {
      modules,
      specialArgs ? { },
      prefix ? [ ],
      class ? null,
    }:
    evaluate { inherit modules specialArgs prefix; };
}
