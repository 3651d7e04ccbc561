# Types whose values have no options or elements of their own.
{
  basics,
  show,
  options,
  mkOptionType,
  types,
  ...
}:
let
  inherit (basics)
    all
    concatMapStringsSep
    concatStringsSep
    elem
    filter
    foldl'
    hasPrefix
    head
    isAttrs
    isBool
    isDerivation
    isFloat
    isFunctionLike
    isInt
    isString
    isStringLike
    length
    map
    match
    toJSON
    ;
  inherit (options) mergeEqualOption;
  inherit (options.public) mergeOneOption;

  simple =
    name: description: check:
    mkOptionType {
      inherit name description check;
      merge = mergeEqualOption;
    };

  integer = name: description: check: simple name description (x: isInt x && check x);

  between =
    lowest: highest:
    integer "intBetween"
      "integer between ${toString lowest} and ${toString highest} (both inclusive)"
      (x: x >= lowest && x <= highest);

  unsigned = bits: between 0 (foldl' (n: _: n * 2) 1 (basics.range 1 bits) - 1);

  joined =
    name: description: separator:
    mkOptionType {
      inherit name description;
      check = isString;
      merge = _: defs: concatStringsSep separator (map (def: def.value) defs);
    };

  # Recursive for plain sets, every function's results for functions, equality for the rest.
  mergeAnything =
    loc: defs:
    let
      values = map (def: def.value) defs;
      plainSet = x: isAttrs x && !isStringLike x && !isFunctionLike x;
    in
    if length defs == 1 && !plainSet (head values) then
      head values
    else if all plainSet values then
      (types.lazyAttrsOf types.anything).merge loc defs
    else
      mergeEqualOption loc defs;
in
rec {
  bool = simple "bool" "boolean" isBool;
  int = integer "int" "signed integer" (_: true);
  float = simple "float" "floating point number" isFloat;
  number = simple "number" "signed integer or floating point number" (x: isInt x || isFloat x);
  port = between 0 65535 // {
    description = "16 bit unsigned integer; between 0 and 65535 (both inclusive)";
  };
  ints = {
    inherit between;
    unsigned = integer "unsignedInt" "unsigned integer, meaning >=0" (x: x >= 0);
    positive = integer "positiveInt" "positive integer, meaning >0" (x: x > 0);
    u8 = unsigned 8;
    u16 = unsigned 16;
    u32 = unsigned 32;
  };

  str = simple "str" "string" isString;
  nonEmptyStr = simple "nonEmptyStr" "non-empty string" (x: isString x && match "[ \t\n]*" x == null);
  strMatching =
    pattern:
    simple "strMatching ${toJSON pattern}" "string matching the pattern ${pattern}" (
      x: isString x && match pattern x != null
    );
  singleLineStr = simple "singleLineStr" "(optionally newline-terminated) single-line string" (
    x: isString x && match "[^\n\r]*\n?" x != null
  );
  lines = joined "separatedString" "strings concatenated with \"\\n\"" "\n";
  commas = separatedString ",";
  separatedString =
    separator: joined "separatedString" "strings concatenated with ${toJSON separator}" separator;

  # Absolute: a path value, a string that starts with a slash, or something that becomes one.
  path = simple "path" "absolute path" (x: isStringLike x && hasPrefix "/" (toString x));
  package = mkOptionType {
    name = "package";
    check = x: isDerivation x || (isStringLike x && hasPrefix builtins.storeDir (toString x));
  };

  enum =
    values:
    let
      words = concatMapStringsSep ", " (show.showValue 2) values;
      self = mkOptionType {
        name = "enum";
        description =
          if length values == 1 then "value ${words} (singular enum)" else "one of ${words}";
        check = x: elem x values;
        merge = mergeEqualOption;
      };
    in
    self
    // {
      enumValues = values;
      typeMerge =
        other:
        if other ? enumValues then
          enum (values ++ filter (value: !elem value values) other.enumValues)
        else
          null;
    };

  raw = mkOptionType {
    name = "raw";
    description = "raw value";
  };
  unspecified = mkOptionType {
    name = "unspecified";
    description = "unspecified value";
  };
  any = unspecified;
  anything = mkOptionType {
    name = "anything";
    merge = mergeAnything;
  };
  attrs = mkOptionType {
    name = "attrs";
    description = "attribute set";
    check = isAttrs;
    # Later definitions stand in front, as in every list of definitions.
    merge = _: defs: foldl' (merged: def: merged // def.value) { } defs;
  };
  optionType = mkOptionType {
    name = "optionType";
    check = x: (x._type or null) == "option-type";
    merge =
      loc: defs:
      foldl' (
        merged: def:
        let
          both = merged.typeMerge def.value;
        in
        if both == null then mergeOneOption loc defs else both
      ) (head defs).value (basics.tail defs);
  };
}
