# How options, values and near misses look in a message.
{ basics }:
let
  inherit (basics)
    all
    attrNames
    concatMapStrings
    concatMapStringsSep
    elemAt
    filter
    foldl'
    genList
    last
    length
    match
    max
    min
    sort
    stringLength
    stringToCharacters
    substring
    take
    toJSON
    ;

  keywords = [
    "assert"
    "else"
    "if"
    "in"
    "inherit"
    "let"
    "or"
    "rec"
    "then"
    "with"
  ];
  # The name of an attribute as one writes it.
  showAttr =
    name:
    if match "[a-zA-Z_][a-zA-Z0-9_'-]*" name != null && !builtins.elem name keywords then
      name
    else
      builtins.replaceStrings [ "$" ] [ "\\$" ] (toJSON name);
  # Placeholders stand for any name and are none.
  showPart = part: if match "<.*>|\\*" part != null then part else showAttr part;

  # One line of Nix, cut where it gets long or deep. Lazy values that throw stay dots.
  showValue =
    depth: value:
    let
      kind = builtins.typeOf value;
      inner = inside (depth - 1);
      shorten = text: if stringLength text > 200 then substring 0 197 text + "…\"" else text;
    in
    if kind == "string" then
      shorten (toJSON (builtins.unsafeDiscardStringContext value))
    else if kind == "bool" then
      (if value then "true" else "false")
    else if kind == "null" then
      "null"
    else if kind == "lambda" then
      "<function>"
    else if kind == "list" then
      if value == [ ] then
        "[ ]"
      else if depth == 0 then
        "[ … ]"
      else
        "[ ${concatMapStringsSep " " inner (take 6 value)} ${if length value > 6 then "… " else ""}]"
    else if kind == "set" then
      if value ? _type && builtins.isString value._type then
        "<${value._type}>"
      else if (value.type or null) == "derivation" then
        "<derivation ${value.name or "?"}>"
      else if value == { } then
        "{ }"
      else if depth == 0 then
        "{ … }"
      else
        "{ ${
          concatMapStrings (name: "${showAttr name} = ${inner value.${name}}; ") (take 6 (attrNames value))
        }${if length (attrNames value) > 6 then "… " else ""}}"
    else
      toString value;

  inside =
    depth: value:
    let
      attempt = builtins.tryEval (showValue depth value);
    in
    if attempt.success then attempt.value else "…";

  # Edits between two words, row by row.
  distance =
    a: b:
    let
      as = stringToCharacters a;
      bs = stringToCharacters b;
      step =
        row: char:
        foldl' (
          new: j:
          new
          ++ [
            (min (min (last new + 1) (elemAt row (j + 1) + 1)) (
              elemAt row j + (if elemAt bs j == char then 0 else 1)
            ))
          ]
        ) [ (builtins.head row + 1) ] (genList (j: j) (length bs));
    in
    last (foldl' step (genList (j: j) (length bs + 1)) as);
in
rec {
  inherit distance showAttr showValue;

  warn = message: builtins.warn or (message: builtins.trace "evaluation warning: ${message}") message;

  # Where a module says nothing about where it is from.
  unknownFile = "<unknown-file>";

  showOption = loc: concatMapStringsSep "." showPart loc;

  showDefs =
    defs: concatMapStrings (def: "\n- In `${toString def.file}': ${inside 2 def.value}") defs;

  showFiles = files: concatMapStringsSep " and " (file: "`${toString file}'") files;

  # Known names that a mistyped one may have meant, nearest first, at most three.
  suggest =
    prefix: name: known:
    let
      near = filter (c: c.distance <= max 1 (stringLength name / 3)) (
        map (candidate: {
          inherit candidate;
          # Half a word is near to the whole one. Transpositions count two and lengths bound the
          # distance: hopeless ones are skipped early.
          distance =
            if stringLength name >= 2 && substring 0 (stringLength name) candidate == name then
              1
            else if stringLength candidate > stringLength name + 3 then
              99
            else
              distance name candidate;
        }) known
      );
      # `image` for `imgae`: the usual swap of two letters is two edits.
      swapped = filter (
        candidate:
        stringLength candidate == stringLength name
        && sort (x: y: x < y) (stringToCharacters candidate)
          == sort (x: y: x < y) (stringToCharacters name)
      ) known;
      ranked = map (c: c.candidate) (sort (x: y: x.distance < y.distance) near);
      best = take 3 (swapped ++ filter (c: all (s: s != c) swapped) ranked);
    in
    if best == [ ] then
      ""
    else
      "\nDid you mean ${concatMapStringsSep " or " (c: "`${showOption (prefix ++ [ c ])}'") best}?";

  # For an option set that was given something else.
  article =
    value:
    {
      set = "an attribute set";
      list = "a list";
      int = "an integer";
      string = "a string";
      bool = "a boolean";
      path = "a path";
      lambda = "a function";
      float = "a number";
      null = "null";
    }
    .${builtins.typeOf value};
}
