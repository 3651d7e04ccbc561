# Types for values of many kinds, and for functions.
{
  basics,
  show,
  options,
  mkOptionType,
  phrase,
  wrapping,
  types,
  ...
}:
let
  inherit (basics)
    all
    functionArgs
    head
    isAttrs
    isFunctionLike
    isStringLike
    map
    typeOf
    zipAttrsWith
    ;
  inherit (options) mergeDefinitions mergeEqualOption mergeOneOption;

  kindOf =
    value: if isAttrs value && isStringLike value then "stringCoercibleSet" else typeOf value;

  applied =
    argument:
    map (def: {
      inherit (def) file;
      value = def.value argument;
    });
in
rec {
  # Sets are merged name by name, functions by their results; all else has to be equal.
  anything = mkOptionType {
    name = "anything";
    description = "anything";
    descriptionClass = "noun";
    merge = {
      __functor =
        _: loc: defs:
        let
          kind = kindOf (head defs).value;
        in
        if !all (def: kindOf def.value == kind) defs then
          throw "The option `${show.showOption loc}' has conflicting option types in ${
            show.showFiles (map (def: def.file) defs)
          }${show.showDefs defs}"
        else if kind == "set" then
          attrsOfAnything.merge loc defs
        else if kind == "stringCoercibleSet" then
          mergeOneOption loc defs
        else if kind == "lambda" then
          argument: anything.merge (loc ++ [ "<function body>" ]) (applied argument defs)
        else
          mergeEqualOption loc defs;
      placeless = _: true;
    };
  };
  attrsOfAnything = types.attrsOf anything;

  functionTo =
    elemType:
    mkOptionType {
      name = "functionTo";
      description = "function that evaluates to a(n) ${
        phrase [
          "noun"
          "composite"
        ] elemType
      }";
      descriptionClass = "composite";
      check = isFunctionLike;
      merge = loc: defs: {
        # An argument may be left out where every definition has a default for it.
        __functionArgs = zipAttrsWith (_: all (optional: optional)) (
          map (def: functionArgs def.value) defs
        );
        __functor =
          _: argument:
          (mergeDefinitions (loc ++ [ "<function body>" ]) elemType (applied argument defs)).mergedValue;
      };
      getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "<function body>" ]);
      inherit (elemType) getSubModules;
      substSubModules = modules: functionTo (elemType.substSubModules modules);
      functor = wrapping "functionTo" functionTo elemType;
      nestedTypes = { inherit elemType; };
    };

  # What a format such as JSON can say.
  serializableValueWith =
    {
      typeName,
      nullable ? true,
    }:
    let
      plain = types.oneOf [
        types.bool
        types.int
        types.float
        types.str
        types.path
        (types.attrsOf value)
        (types.listOf value)
      ];
      value = (if nullable then types.nullOr plain else plain) // {
        description = "${typeName} value";
      };
    in
    value;
  json = serializableValueWith { typeName = "JSON"; };
  toml = serializableValueWith {
    typeName = "TOML";
    nullable = false;
  };
}
