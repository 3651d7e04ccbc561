# The plain functions that option files use, under the names nixpkgs gives them.
let
  inherit (builtins)
    attrNames
    concatLists
    concatMap
    concatStringsSep
    elemAt
    filter
    foldl'
    genList
    isAttrs
    length
    listToAttrs
    map
    mapAttrs
    stringLength
    substring
    ;
in
rec {
  inherit (builtins)
    add
    addErrorContext
    all
    any
    appendContext
    attrNames
    attrValues
    baseNameOf
    bitAnd
    bitOr
    bitXor
    catAttrs
    ceil
    compareVersions
    concatLists
    concatMap
    concatStringsSep
    deepSeq
    dirOf
    div
    elem
    elemAt
    filter
    floor
    foldl'
    fromJSON
    fromTOML
    genList
    genericClosure
    getAttr
    getContext
    groupBy
    hasAttr
    hasContext
    hashFile
    hashString
    head
    intersectAttrs
    isAttrs
    isBool
    isFloat
    isInt
    isList
    isPath
    isString
    length
    lessThan
    listToAttrs
    map
    mapAttrs
    match
    mul
    parseDrvName
    partition
    pathExists
    placeholder
    readDir
    readFile
    removeAttrs
    replaceStrings
    seq
    sort
    split
    splitVersion
    storeDir
    stringLength
    sub
    substring
    tail
    throw
    toFile
    toJSON
    toString
    toXML
    trace
    tryEval
    typeOf
    unsafeDiscardOutputDependency
    unsafeDiscardStringContext
    unsafeGetAttrPos
    zipAttrsWith
    ;

  id = x: x;
  const = x: _: x;
  min = a: b: if a < b then a else b;
  max = a: b: if a > b then a else b;

  optional = cond: x: if cond then [ x ] else [ ];
  optionals = cond: xs: if cond then xs else [ ];
  optionalString = cond: s: if cond then s else "";
  optionalAttrs = cond: set: if cond then set else { };
  toList = x: if builtins.isList x then x else [ x ];
  last = xs: elemAt xs (length xs - 1);
  range = from: to: if from > to then [ ] else genList (n: from + n) (to - from + 1);
  reverseList =
    xs:
    let
      n = length xs;
    in
    genList (i: elemAt xs (n - i - 1)) n;
  take = n: xs: genList (elemAt xs) (min n (length xs));
  drop = n: xs: genList (i: elemAt xs (n + i)) (max 0 (length xs - n));
  imap0 = f: xs: genList (i: f i (elemAt xs i)) (length xs);
  imap1 = f: xs: genList (i: f (i + 1) (elemAt xs i)) (length xs);

  nameValuePair = name: value: { inherit name value; };
  genAttrs = names: f: listToAttrs (map (name: nameValuePair name (f name)) names);
  mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
  mapAttrs' = f: set: listToAttrs (mapAttrsToList f set);
  filterAttrs =
    keep: set: removeAttrs set (filter (name: !keep name set.${name}) (attrNames set));
  concatMapAttrs = f: set: foldl' (all: part: all // part) { } (mapAttrsToList f set);
  recursiveUpdate =
    old: new:
    old
    // mapAttrs (
      name: value:
      if isAttrs value && old ? ${name} && isAttrs old.${name} then
        recursiveUpdate old.${name} value
      else
        value
    ) new;
  setAttrByPath =
    path: value:
    foldl' (inner: name: { ${name} = inner; }) value (reverseList path);

  isDerivation = x: (x.type or null) == "derivation";
  # Functors are functions too.
  isFunctionLike = f: builtins.isFunction f || (f ? __functor && isFunctionLike (f.__functor f));
  isFunction = isFunctionLike;
  functionArgs =
    f:
    if f ? __functor then
      f.__functionArgs or (functionArgs (f.__functor f))
    else
      builtins.functionArgs f;
  isStringLike = x: builtins.isString x || builtins.isPath x || x ? outPath || x ? __toString;

  concatMapStringsSep = sep: f: xs: concatStringsSep sep (map f xs);
  concatMapStrings = f: xs: concatStringsSep "" (map f xs);
  concatStrings = concatStringsSep "";
  concatLines = concatMapStrings (line: line + "\n");
  hasPrefix = prefix: s: substring 0 (stringLength prefix) s == prefix;
  hasSuffix =
    suffix: s:
    let
      n = stringLength s - stringLength suffix;
    in
    n >= 0 && substring n (-1) s == suffix;
  removeSuffix =
    suffix: s:
    if hasSuffix suffix s then substring 0 (stringLength s - stringLength suffix) s else s;
  removePrefix =
    prefix: s: if hasPrefix prefix s then substring (stringLength prefix) (-1) s else s;
  stringToCharacters = s: genList (i: substring i 1 s) (stringLength s);
  fixedWidthNumber =
    width: n:
    let
      digits = toString n;
    in
    concatStrings (genList (_: "0") (max 0 (width - stringLength digits))) + digits;

  withContext = builtins.addErrorContext or (_: value: value);
  flatten = x: if builtins.isList x then concatLists (map flatten x) else [ x ];
}
