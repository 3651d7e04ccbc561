# Types that are a set of options of their own, or modules to be used elsewhere.
{
  basics,
  show,
  properties,
  options,
  modules,
  mkOptionType,
  defaultFunctor,
  phrase,
  checking,
  merging2,
  types,
  ...
}:
let
  inherit (basics)
    attrNames
    intersectAttrs
    isAttrs
    isFunctionLike
    last
    map
    toList
    ;
  inherit (modules) evaluate prepare;

  isModule = x: isAttrs x || isFunctionLike x || types.path.check x;

  # For documentation, where whatever avoids an error is right.
  unchecked = {
    _file = "<built-in module that disables checks for the purpose of documentation generation>";
    config._module.check = properties.public.mkForce false;
  };

  # What two declarations say: one of them, or the same, or nothing.
  agree =
    what: a: b:
    if a == null then
      b
    else if b == null || a == b then
      a
    else
      throw "A submoduleWith option is declared multiple times with conflicting ${what}";

  submoduleWith =
    {
      modules,
      specialArgs ? { },
      shorthandOnlyDefinesConfig ? false,
      description ? null,
      class ? null,
    }@args:
    let
      shorthand = shorthandOnlyDefinesConfig == true;
      prepared = prepare {
        inherit modules class;
        modulesPath = specialArgs.modulesPath or "";
      };
      instance =
        prefix: name: definitions:
        evaluate {
          inherit
            modules
            specialArgs
            class
            prefix
            definitions
            prepared
            shorthand
            ;
          instance = { inherit name; };
        };
      # Without a name or values: what all instances have in common.
      base = instance [ ] (properties.public.mkOptionDefault "‹name›") [ ];
      documented = prefix: base.extendModules { inherit prefix; modules = [ unchecked ]; };
      freeformType = base._module.freeformType;
      freeformDocumented = (documented [ ])._module.freeformType;
      check = checking isModule;
    in
    mkOptionType {
      name = "submodule";
      description =
        if description != null then
          description
        else if freeformDocumented ? description then
          "open submodule of ${
            phrase [
              "noun"
              "composite"
            ] freeformDocumented
          }"
        else
          "submodule";
      inherit check;
      merge = merging2 (
        { loc, defs }:
        let
          configuration = instance loc (last loc) defs;
        in
        {
          headError = options.headError check defs;
          value = configuration.config;
          valueMeta = { inherit configuration; };
        }
      ) { };
      emptyValue.value = base.config;
      getSubOptions =
        prefix:
        let
          docs = documented prefix;
          freeform = docs._module.freeformType;
        in
        docs.options
        // (if freeform == null then { } else { _freeformOptions = freeform.getSubOptions prefix; });
      getSubModules = modules;
      substSubModules = modules: submoduleWith (args // { inherit modules; });
      nestedTypes = if freeformType == null then { } else { inherit freeformType; };
      functor = defaultFunctor "submodule" // {
        type = submoduleWith;
        payload = {
          inherit
            modules
            class
            specialArgs
            shorthandOnlyDefinesConfig
            description
            ;
        };
        # An option that is declared twice, each time as a submodule, has the options of both.
        binOp =
          a: b:
          let
            common = intersectAttrs a.specialArgs b.specialArgs;
          in
          {
            modules = a.modules ++ b.modules;
            class =
              agree "class values \"${toString (a.class or null)}\" and \"${toString (b.class or null)}\"."
                (a.class or null)
                (b.class or null);
            specialArgs =
              if common == { } then
                a.specialArgs // b.specialArgs
              else
                throw "A submoduleWith option is declared multiple times with the same specialArgs \"${toString (attrNames common)}\"";
            shorthandOnlyDefinesConfig =
              agree "shorthandOnlyDefinesConfig values" a.shorthandOnlyDefinesConfig
                b.shorthandOnlyDefinesConfig;
            description = agree "descriptions" a.description b.description;
          };
      };
    };

  deferredModuleWith =
    {
      staticModules ? [ ],
    }@args:
    mkOptionType {
      name = "deferredModule";
      description = "module";
      descriptionClass = "noun";
      check = isModule;
      merge = loc: defs: {
        imports =
          staticModules
          ++ map (def: {
            _file = "${def.file}, via option ${show.showOption loc}";
            imports = [ def.value ];
          }) defs;
      };
      inherit (submoduleWith { modules = staticModules; }) getSubOptions getSubModules;
      substSubModules = modules: deferredModuleWith (args // { staticModules = modules; });
      functor = defaultFunctor "deferredModuleWith" // {
        type = deferredModuleWith;
        payload = { inherit staticModules; };
        binOp = a: b: { staticModules = a.staticModules ++ b.staticModules; };
      };
    };
in
{
  inherit deferredModuleWith submoduleWith;
  deferredModule = deferredModuleWith { };
  submodule =
    module:
    submoduleWith {
      shorthandOnlyDefinesConfig = true;
      modules = toList module;
    };
}
