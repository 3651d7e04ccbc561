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

  showPart =
    part:
    if match "[a-zA-Z_][a-zA-Z0-9_'-]*|<[a-z0-9]+>|\\*" part != null then part else toJSON part;

  # One line of Nix, cut where it gets long or deep. Lazy values that throw stay dots.
  showValue =
    depth: value:
    let
      kind = builtins.typeOf value;
      inner = inside (depth - 1);
      shorten = text: if stringLength text > 60 then substring 0 57 text + "…\"" else text;
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
          concatMapStrings (name: "${showPart name} = ${inner value.${name}}; ") (take 6 (attrNames value))
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
  inherit showValue;

  showOption = loc: concatMapStringsSep "." showPart loc;

  showDefs =
    defs: concatMapStrings (def: "\n- In `${toString def.file}': ${inside 2 def.value}") defs;

  showFiles = files: concatMapStringsSep " and " (file: "`${toString file}'") files;

  # Known names that a mistyped one may have meant, nearest first, at most three.
  suggest =
    name: known:
    let
      near = filter (c: c.distance <= max 1 (stringLength name / 3)) (
        map (candidate: {
          inherit candidate;
          # Transpositions count two and lengths bound the distance: skip hopeless ones early.
          distance =
            if stringLength candidate > stringLength name + 3 then 99 else distance name candidate;
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
      "\nDid you mean ${concatMapStringsSep " or " (c: "`${c}'") best}?";

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
