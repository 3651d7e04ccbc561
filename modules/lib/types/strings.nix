# Types of text.
{
  basics,
  show,
  options,
  mkOptionType,
  defaultFunctor,
  phrase,
  types,
  ...
}:
let
  inherit (basics)
    concatStringsSep
    isString
    map
    match
    removeSuffix
    toJSON
    ;
  equal = {
    __functor = _: options.mergeEqualOption;
    single = true;
    placeless = _: true;
  };
in
rec {
  str = mkOptionType {
    name = "str";
    description = "string";
    descriptionClass = "noun";
    check = isString;
    merge = equal;
  };
  nonEmptyStr = mkOptionType {
    name = "nonEmptyStr";
    description = "non-empty string";
    descriptionClass = "noun";
    check = x: isString x && match "[ \t\n]*" x == null;
    merge = equal;
  };
  strMatching =
    pattern:
    mkOptionType {
      name = "strMatching ${builtins.replaceStrings [ "$" ] [ "\\$" ] (toJSON pattern)}";
      description = "string matching the pattern ${pattern}";
      descriptionClass = "noun";
      check = x: isString x && match pattern x != null;
      merge = equal;
      functor = defaultFunctor "strMatching" // {
        type = payload: strMatching payload.pattern;
        payload = { inherit pattern; };
        binOp = a: b: if a == b then a else null;
      };
    };
  # The end of the line may be left out, and is not part of the value.
  singleLineStr = mkOptionType {
    name = "singleLineStr";
    description = "(optionally newline-terminated) single-line string";
    descriptionClass = "noun";
    check = x: isString x && match "[^\n\r]*\n?" x != null;
    merge = {
      __functor = _: loc: defs: removeSuffix "\n" (options.mergeEqualOption loc defs);
      placeless = _: true;
    };
  };

  separatedString =
    sep:
    mkOptionType {
      name = "separatedString";
      description = "strings concatenated with ${toJSON sep}";
      descriptionClass = "noun";
      check = isString;
      merge = {
        __functor = _: _: defs: concatStringsSep sep (map (def: def.value) defs);
        single = true;
        placeless = _: true;
      };
      functor = defaultFunctor "separatedString" // {
        type = payload: separatedString payload.sep;
        payload = { inherit sep; };
        binOp = a: b: if a.sep == b.sep then { inherit (a) sep; } else null;
      };
    };
  lines = separatedString "\n";
  commas = separatedString ",";
  envVar = separatedString ":";

  passwdEntry =
    type:
    types.addCheck type (
      x:
      builtins.replaceStrings
        [
          ":"
          "\n"
        ]
        [
          ""
          ""
        ]
        x == x
    )
    // {
      name = "passwdEntry ${type.name}";
      description = "${phrase [ "noun" ] type}, not containing newlines or colons";
      descriptionClass = "nonRestrictiveClause";
    };
}
