# Evaluates a list of modules: collects what they import, and ties the knot between the values
# of options and the modules that read them.
{
  basics,
  show,
  properties,
  options,
  types,
  tree,
  lib,
}:
let
  inherit (basics)
    all
    any
    attrNames
    concatMap
    concatMapStringsSep
    drop
    filter
    functionArgs
    head
    intersectAttrs
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
  inherit (tree) declare mergeTree;

  collect = import ./collect.nix { inherit basics show; };

  internalFile = "lib/modules.nix";

  # `_module.*`: what modules say about the evaluation itself.
  internals = {
    key = [
      2
      internalFile
    ];
    file = internalFile;
    children = [ ];
    disabled = [ ];
    named = false;
    config = { };
    options._module = {
      args = mkOption {
        type = types.lazyAttrsOf types.raw;
        description = ''
          Further arguments of every module, besides `lib`, `config`, `options`, `specialArgs` and
          what `specialArgs` holds. They come from values of options, so `imports` cannot use them.
          Submodules neither inherit nor pass them on; each gets `name`, its own attribute name.
        '';
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
      specialArgs = mkOption {
        readOnly = true;
        internal = true;
        description = "Arguments of modules from outside, which `imports` can use.";
      };
    };
  };
  # Told once, at the root of all options.
  internalsWithin = internals // {
    options._module = internals.options._module // {
      args = internals.options._module.args // {
        internal = true;
      };
    };
  };

  # All at once: a second look for the second mistake costs a person more than a longer message.
  unmatchedError =
    names: prefix: unmatched:
    throw (
      concatMapStringsSep "\n" (
        one:
        let
          option = showOption (one.prefix ++ [ one.name ]);
        in
        withContext "while evaluating the error message for definitions for `${option}', which is an option that does not exist" (
          "The option `${option}' does not exist. Definition values:${
            withContext "while evaluating a definition from `${(head one.defs).file}'" (showDefs one.defs)
          }${
            show.suggest one.prefix one.name (filter (name: name != "_module") one.known)
          }"
        )
      ) unmatched
      + (
        if names != [ "_module" ] then
          ""
        else if prefix == [ ] then
          "\n\nIt seems as if you're trying to declare an option by placing it into `config' rather than `options'!"
        else
          "\n\nThere are no options in `${showOption prefix}': they belong under `options' of a module. This can happen if you e.g. declared your options in `types.submodule' under `config'."
      )
    );

  # Without functions there is nothing in a module that differs between two evaluations. A function
  # is called in each instance; that it gives values only, as most do, is seen there.
  isShared =
    module:
    if isFunctionLike module then
      true
    else if isList module then
      false
    else if isAttrs module then
      all isShared (module.imports or [ ]) && !(module ? require)
    else
      isShared (import module);

  # What is more than values, wherever it stands in a module.
  notJustValues = {
    _class = null;
    disabledModules = null;
    freeformType = null;
    imports = null;
    key = null;
    meta = null;
    options = null;
    require = null;
  };

  # The values that a function gave as a module, or null where it gave more than values.
  valuesOf =
    outerFile: module:
    let
      values = removeAttrs module [ "_file" ];
      isWrapped = module ? _type;
    in
    if
      !isAttrs module
      || intersectAttrs notJustValues module != { }
      || (if isWrapped then module._type == "module" else module ? config && attrNames values != [ "config" ])
    then
      null
    else
      {
        file = toString (module._file or outerFile);
        value = if isWrapped then module else module.config or values;
      };

  # What the instances of a submodule can share, or null.
  prepare =
    {
      modules,
      class,
      modulesPath ? "",
    }:
    if all isShared modules then
      let
        collected = collect {
          inherit class modulesPath;
          call = file: function: {
            config = {
              _type = "function";
              inherit file function;
            };
          };
          prefix = [ "<name>" ];
        };
        roots = collected.roots modules;
        nodes = collected.close roots;
        isFunction = node: node.config._type or null == "function";
        values =
          nodes:
          concatMap (
            node:
            if isFunction node then
              [ node.config ]
            else if node.config == { } then
              [ ]
            else
              [ (asDefinition node) ]
          ) (reverseList nodes);
        # Where a root names a module that it does not want, all take the long way.
        plain = all (node: node.disabled == [ ]) nodes;
        isRoot = node: any (root: root.key == node.key) roots;
      in
      if plain then
        {
          functions = any isFunction nodes;
          declared = declare [ "<name>" ] (map asDeclaration (reverseList nodes ++ [ internalsWithin ]));
          # Definitions stand between what the modules import and the modules themselves.
          before = values (filter (node: !isRoot node) nodes);
          after = values (filter isRoot nodes);
        }
      else
        null
    else
      null;

  asDeclaration = node: {
    _file = node.file;
    inherit (node) options;
  };
  asDefinition = node: {
    inherit (node) file;
    value = node.config;
  };

  # A definition of a submodule as a module.
  asModule =
    shorthand: def:
    if shorthand && isAttrs def.value then
      {
        _file = def.file;
        config = def.value;
      }
    else
      {
        _file = def.file;
        imports = [ def.value ];
      };

  # `definitions` are those of a submodule, `instance` the priority and value of its argument
  # `name`, and `prepared` what its modules have in common with those of its siblings.
  evaluate =
    {
      modules,
      specialArgs ? { },
      class ? null,
      prefix ? [ ],
      definitions ? [ ],
      shorthand ? false,
      instance ? { },
      prepared ? null,
    }@arguments:
    let
      allModules = modules ++ map (asModule shorthand) definitions;
      moduleArgs = {
        inherit lib specialArgs options;
        _class = class;
        _prefix = prefix;
        config = withContext "if you get an infinite recursion here, you probably reference `config' in `imports'. Import unconditionally, and make what the module does depend on an option, with `mkIf'." config;
      }
      // specialArgs;
      # Looked up late: `_module.args` may itself come from modules.
      lateArg =
        file: name:
        withContext "while evaluating the module argument `${name}' in \"${toString file}\":" (
          withContext "noting that argument `${name}` is not externally provided, so querying `_module.args` instead, requiring `config`" moduleArgs.config._module.args.${name}
        );
      call =
        file: f:
        let
          late = removeAttrs (functionArgs f) (attrNames moduleArgs);
        in
        f (if late == { } then moduleArgs else moduleArgs // mapAttrs (name: _: lateArg file name) late);
      collected = collect {
        inherit class prefix call;
        modulesPath = specialArgs.modulesPath or "";
      };
      roots = collected.roots allModules;

      # Last first, as definitions of the importing module stand in front of the imported one's.
      nodes = reverseList (
        collected.close (roots ++ [ (if prefix == [ ] then internals else internalsWithin) ])
      );
      internalValues = [
        {
          file = internalFile;
          value = {
            args = {
              inherit extendModules;
              moduleType = type;
            }
            // instance;
            inherit specialArgs;
          };
        }
      ];
      # What the modules of a submodule say in this instance; null where a function said more.
      called = map (
        one: if one ? function then valuesOf one.file (call one.file one.function) else one
      );
      before = if prepared.functions then called prepared.before else prepared.before;
      after = if prepared.functions then called prepared.after else prepared.after;
      merged =
        if
          prepared != null
          && all (def: shorthand && isAttrs def.value) definitions
          && (!prepared.functions || all (one: one != null) before && all (one: one != null) after)
        then
          mergeTree prefix prepared.declared (
            if definitions == [ ] then before ++ after else before ++ reverseList definitions ++ after
          ) { _module = internalValues; }
        else
          mergeTree prefix (declare prefix (map asDeclaration nodes)) (map asDefinition nodes) {
            _module = internalValues;
          };
      inherit (merged) options unmatched;

      # Nothing is said about the evaluation itself, as a rule.
      ordinary = !(merged.defined ? _module);
      freeform = if ordinary then null else merged.config._module.freeformType;
      config =
        if freeform == null || unmatched == [ ] then
          merged.config
        else
          recursiveUpdate (freeform.merge prefix (
            concatMap (
              one:
              map (def: {
                inherit (def) file;
                value = setAttrByPath (drop (length prefix) one.prefix ++ [ one.name ]) def.value;
              }) one.defs
            ) unmatched
          )) merged.config;
      checked =
        if
          (ordinary || merged.config._module.check && freeform == null) && unmatched != [ ]
        then
          unmatchedError (attrNames options) prefix unmatched
        else
          config;

      extendModules =
        extension:
        evaluate (
          removeAttrs arguments [ "prepared" ]
          // {
            modules = allModules ++ extension.modules or [ ];
            definitions = [ ];
            specialArgs = specialArgs // extension.specialArgs or { };
            prefix = extension.prefix or prefix;
          }
        );
      type = types.submoduleWith {
        modules = allModules;
        inherit specialArgs class;
      };
    in
    {
      _type = "configuration";
      config = removeAttrs checked [ "_module" ];
      options = builtins.seq checked options;
      inherit (checked) _module;
      inherit extendModules type class;
      graph = collected.graph roots;
    };
in
rec {
  inherit evaluate prepare;

  evalModules =
    {
      modules,
      specialArgs ? { },
      prefix ? [ ],
      class ? null,
      args ? null,
      check ? null,
    }:
    evaluate {
      inherit specialArgs prefix class;
      modules =
        modules
        ++ (if args == null then [ ] else [ { config._module.args = args; } ])
        ++ (
          if check == null then [ ] else [ { config._module.check = properties.public.mkDefault check; } ]
        );
    };
  fixMergeModules =
    modules: args:
    evalModules {
      inherit modules args;
      check = false;
    };

  setDefaultModuleLocation = file: module: {
    _file = file;
    imports = [ module ];
  };
  importApply = file: argument: setDefaultModuleLocation file (import file argument);

  # The attributes of an option that is a set, each with the priority of its own definitions.
  mergeAttrDefinitionsWithPrio =
    option:
    mapAttrs
      (
        name: defs:
        let
          merged = options.mergeDefinitions (option.loc ++ [ name ]) option.type.nestedTypes.elemType defs;
        in
        {
          value = merged.mergedValue;
          inherit (merged.defsFinal') highestPrio;
        }
      )
      (
        builtins.zipAttrsWith (_: all: all) (
          concatMap (
            def: map (mapAttrs (_: value: def // { inherit value; })) (properties.pushDown def.value)
          ) option.definitionsWithLocations
        )
      );
}
