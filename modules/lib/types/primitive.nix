# Types whose values have no options or elements of their own.
{
  basics,
  show,
  options,
  mkOptionType,
  defaultFunctor,
  declarations,
  types,
  ...
}:
let
  inherit (basics)
    any
    concatMapStringsSep
    elem
    filter
    foldl'
    hasPrefix
    head
    isAttrs
    isBool
    isDerivation
    isPath
    isString
    isStringLike
    length
    map
    substring
    ;
  inherit (options) mergeEqualOption mergeOneOption mergeUniqueOption;

  equal = {
    __functor = _: mergeEqualOption;
    single = true;
    placeless = _: true;
  };
  one = {
    __functor = _: mergeOneOption;
    single = true;
    placeless = _: true;
  };

  storePart = "[0-9abcdfghijklmnpqrsvwxyz]{32}-[-+._?=0-9A-Za-z]+";
  # Something in the store, by its text: not the store, nor what it keeps for itself.
  isInStore =
    text:
    hasPrefix (builtins.storeDir + "/") text
    && builtins.match "${storePart}(/.*)?" (
      substring (builtins.stringLength builtins.storeDir + 1) (-1) text
    ) != null;
  isStorePath =
    x:
    isStringLike x
    && (
      let
        text = builtins.unsafeDiscardStringContext (toString x);
      in
      substring 0 1 text == "/"
      && (dirOf text == builtins.storeDir || builtins.match "/[0-9a-z]{52}" text != null)
    );

  # A path of the store that says nothing about itself, as a package.
  asPackage =
    path:
    let
      text = builtins.unsafeDiscardStringContext (toString path);
      outPath = if isPath path && !isInStore text then path else builtins.storePath text;
      hash = builtins.stringLength builtins.storeDir + 34;
      package = {
        type = "derivation";
        name = substring hash (-1) text;
        inherit outPath;
        outputs = [ "out" ];
        out = package;
        outputName = "out";
      };
    in
    package;

  # Absolute or not, in the store or not; null for whichever.
  pathWith =
    {
      inStore ? null,
      absolute ? null,
    }:
    if inStore == true && absolute == false then
      throw "In pathWith, inStore means the path must be absolute"
    else
      mkOptionType {
        name = "path";
        description = "${
          if absolute == null then
            ""
          else if absolute then
            "absolute "
          else
            "relative "
        }path${
          if inStore == null then
            ""
          else if inStore then
            " in the Nix store"
          else
            " not in the Nix store"
        }";
        descriptionClass = "noun";
        # A path value may be copied to the store later on.
        check =
          x:
          (if inStore == false then isString x else isStringLike x)
          && (inStore == null || inStore == isInStore (builtins.unsafeDiscardStringContext (toString x)))
          && (absolute == null || absolute == (isPath x || substring 0 1 (toString x) == "/"));
        merge = equal;
        functor = defaultFunctor "path" // {
          type = pathWith;
          payload = { inherit inStore absolute; };
          binOp = a: b: if a == b then a else null;
        };
      };
in
rec {
  inherit pathWith;

  bool = mkOptionType {
    name = "bool";
    description = "boolean";
    descriptionClass = "noun";
    check = isBool;
    merge = equal;
  };
  boolByOr = mkOptionType {
    name = "boolByOr";
    description = "boolean (merged using or)";
    descriptionClass = "noun";
    check = isBool;
    merge = _: any (def: def.value);
  };

  path = pathWith { absolute = true; };
  pathInStore = pathWith { inStore = true; };
  externalPath = pathWith {
    absolute = true;
    inStore = false;
  };

  package = mkOptionType {
    name = "package";
    descriptionClass = "noun";
    check = x: isDerivation x || isStorePath x;
    merge =
      loc: defs:
      let
        value = mergeOneOption loc defs;
      in
      if isPath value || isString value && !builtins.hasContext value then asPackage value else value;
  };
  shellPackage = package // {
    check = x: isDerivation x && x ? shellPath;
  };
  pkgs = types.addCheck (
    types.unique { message = "A Nixpkgs pkgs set can not be merged with another pkgs set."; } attrs
    // {
      name = "pkgs";
      descriptionClass = "noun";
      description = "Nixpkgs package set";
    }
  ) (x: (x._type or null) == "pkgs");

  enum =
    values:
    let
      word =
        value:
        if isString value then
          "\"${value}\""
        else if builtins.isInt value then
          toString value
        else if isBool value then
          (if value then "true" else "false")
        else
          "<${builtins.typeOf value}>";
    in
    mkOptionType {
      name = "enum";
      description =
        if values == [ ] then
          "impossible (empty enum)"
        else if length values == 1 then
          "value ${word (head values)} (singular enum)"
        else
          "one of ${concatMapStringsSep ", " word values}";
      descriptionClass = if length values < 2 then "noun" else "conjunction";
      check = value: elem value values;
      merge = equal;
      functor = defaultFunctor "enum" // {
        type = payload: enum payload.values;
        payload = { inherit values; };
        binOp = a: b: {
          values = foldl' (all: value: if elem value all then all else all ++ [ value ]) [ ] (
            a.values ++ b.values
          );
        };
      };
    };

  raw = mkOptionType {
    name = "raw";
    description = "raw value";
    descriptionClass = "noun";
    merge = one;
  };
  unspecified = mkOptionType {
    name = "unspecified";
    description = "unspecified value";
    descriptionClass = "noun";
  };
  attrs = mkOptionType {
    name = "attrs";
    description = "attribute set";
    check = isAttrs;
    # Later definitions stand in front, as in every list of definitions.
    merge = {
      __functor = _: _: foldl' (merged: def: merged // def.value) { };
      placeless = _: true;
    };
    emptyValue.value = { };
  };
  luaInline = mkOptionType {
    name = "luaInline";
    description = "inline lua";
    descriptionClass = "noun";
    check = x: (x._type or null) == "lua-inline";
    merge = equal;
  };

  optionDeclaration = mkOptionType {
    name = "optionDeclaration";
    description = "option declaration";
    descriptionClass = "noun";
    check = x: (x._type or null) == "option" && !(x ? value);
  };
  optionType = mkOptionType {
    name = "optionType";
    description = "optionType";
    descriptionClass = "noun";
    check = x: (x._type or null) == "option-type";
    # As if one option were declared with each of the types.
    merge =
      loc: defs:
      if length defs == 1 then
        (head defs).value
      else
        (declarations.fixupOptionType loc (
          declarations.mergeOptionDecls loc (
            map (def: {
              _file = def.file;
              pos = null;
              options = {
                _type = "option";
                type = def.value;
              };
            }) defs
          )
        )).type;
  };
}
