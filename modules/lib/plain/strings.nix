# Text.
{ lib, show }:
let
  inherit (builtins)
    concatStringsSep
    elemAt
    filter
    genList
    head
    isList
    isString
    length
    map
    match
    replaceStrings
    split
    stringLength
    substring
    ;
  inherit (lib) stringToCharacters;
  lower = stringToCharacters "abcdefghijklmnopqrstuvwxyz";
  upper = stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  # ASCII only, as a string in Nix is bytes.
  codes =
    lib.listToAttrs (
      lib.imap0
        (i: name: {
          inherit name;
          value = i + 32;
        })
        (
          stringToCharacters " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"
        )
    )
    // {
      "\t" = 9;
      "\n" = 10;
      "\r" = 13;
    };
in
rec {
  toLower = replaceStrings upper lower;
  toUpper = replaceStrings lower upper;
  toSentenceCase =
    s: if s == "" then "" else toUpper (substring 0 1 s) + toLower (substring 1 (-1) s);
  lowerChars = lower;
  upperChars = upper;
  intersperse =
    x: xs:
    if length xs < 2 then
      xs
    else
      lib.tail (
        lib.concatMap (y: [
          x
          y
        ]) xs
      );
  concatImapStrings = f: xs: lib.concatStrings (lib.imap1 f xs);
  concatImapStringsSep = sep: f: xs: concatStringsSep sep (lib.imap1 f xs);
  concatMapAttrsStringSep = sep: f: set: concatStringsSep sep (lib.mapAttrsToList f set);
  join = concatStringsSep;
  replicate = n: s: lib.concatStrings (genList (_: s) n);
  trimWith =
    {
      start ? false,
      end ? false,
    }:
    s:
    let
      blank = " \t\r\n";
      found = match "[${blank}]*(.*[^${blank}])[${blank}]*" s;
      front = match "[${blank}]*(.*)" s;
      back = match "(.*[^${blank}])[${blank}]*" s;
      pick = m: if m == null then "" else head m;
    in
    if start && end then
      pick found
    else if start then
      pick front
    else if end then
      pick back
    else
      s;
  trim = trimWith {
    start = true;
    end = true;
  };
  hasInfix =
    infix: s:
    infix == "" || replaceStrings [ (toString infix) ] [ "" ] (toString s) != toString s;
  normalizePath =
    s:
    lib.concatStrings (
      genList (
        i: if i > 0 && substring i 1 s == "/" && substring (i - 1) 1 s == "/" then "" else substring i 1 s
      ) (stringLength s)
    );
  escape = marks: replaceStrings marks (map (mark: "\\${mark}") marks);
  escapeC =
    marks:
    replaceStrings marks (
      map (mark: "\\x${lib.fixedWidthString 2 "0" (toLower (lib.toHexString (charToInt mark)))}") marks
    );
  escapeRegex = escape (stringToCharacters "\\[{()^$?*+|.");
  escapeURL =
    let
      plain = stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
      code = c: "%${lib.fixedWidthString 2 "0" (lib.toHexString codes.${c})}";
    in
    s:
    lib.concatMapStrings (c: if builtins.elem c plain || !(codes ? ${c}) then c else code c) (
      stringToCharacters s
    );
  escapeXML =
    replaceStrings
      [
        "\""
        "'"
        "<"
        ">"
        "&"
      ]
      [
        "&quot;"
        "&apos;"
        "&lt;"
        "&gt;"
        "&amp;"
      ];
  escapeShellArg =
    x:
    let
      s = toString x;
    in
    if match "[[:alnum:],._+:@%/-]+" s == null then "'${replaceStrings [ "'" ] [ "'\\''" ] s}'" else s;
  escapeShellArgs = lib.concatMapStringsSep " " escapeShellArg;
  isValidPosixName = name: match "[a-zA-Z_][a-zA-Z0-9_]*" name != null;
  toShellVar =
    name: value:
    if !isValidPosixName name then
      throw "toShellVar: ${name} is not a valid shell variable name"
    else if lib.isAttrs value && !lib.isStringLike value then
      "declare -A ${name}=(${
        lib.concatStringsSep " " (
          lib.mapAttrsToList (n: v: "[${escapeShellArg n}]=${escapeShellArg v}") value
        )
      })"
    else if isList value then
      "declare -a ${name}=(${escapeShellArgs value})"
    else
      "${name}=${escapeShellArg value}";
  toShellVars = set: concatStringsSep "\n" (lib.mapAttrsToList toShellVar set);
  escapeNixString = s: escape [ "$" ] (builtins.toJSON s);
  escapeNixIdentifier = show.showAttr;
  charToInt = c: codes.${c} or (throw "strings.charToInt: not an ASCII character");
  splitString =
    sep: s:
    let
      literal = lib.concatMapStrings (c: if match "[a-zA-Z0-9 ]" c != null then c else if c == "^" then "\\^" else if c == "\\" then "\\\\" else "[${c}]") (stringToCharacters (builtins.unsafeDiscardStringContext (toString sep)));
    in
    map (lib.addContextFrom s) (
      filter isString (split literal (builtins.unsafeDiscardStringContext (toString s)))
    );
  splitStringBy =
    pred: keep: s:
    let
      go =
        i: here: sofar:
        if i == stringLength s then
          sofar ++ [ here ]
        else
          let
            c = substring i 1 s;
            before = if i == 0 then "" else substring (i - 1) 1 s;
          in
          if pred before c then
            go (i + 1) (if keep then c else "") (sofar ++ [ here ])
          else
            go (i + 1) (here + c) sofar;
    in
    if s == "" then [ "" ] else go 0 "" [ ];
  addContextFrom = from: s: substring 0 0 from + s;
  commonPrefixLength =
    a: b:
    let
      n = lib.min (stringLength a) (stringLength b);
      go = i: if i < n && substring i 1 a == substring i 1 b then go (i + 1) else i;
    in
    go 0;
  fixedWidthString =
    width: filler: s:
    let
      n = stringLength s;
    in
    if n > width then
      throw "fixedWidthString: requested string length (${toString width}) must not be shorter than actual length (${toString n})"
    else
      lib.concatStrings (genList (_: filler) (width - n)) + s;
  # What is printed has six digits after the point, whatever the number has.
  floatToString = toString;
  isConvertibleWithToString =
    x:
    lib.isStringLike x
    || x == null
    || builtins.isInt x
    || builtins.isFloat x
    || builtins.isBool x
    || isList x && builtins.all isConvertibleWithToString x;
  isCoercibleToString = isConvertibleWithToString;
  isStringLike = lib.isStringLike;
  isStorePath =
    x:
    lib.isStringLike x
    && (
      let
        text = builtins.unsafeDiscardStringContext (toString x);
      in
      substring 0 1 text == "/"
      && (dirOf text == builtins.storeDir || match "/[0-9a-z]{52}" text != null)
    );
  stringAsChars = f: s: lib.concatMapStrings f (stringToCharacters s);
  replaceString = from: to: replaceStrings [ from ] [ to ];
  commonSuffixLength =
    a: b:
    let
      n = stringLength a;
      m = stringLength b;
      go = i: if i < lib.min n m && substring (n - i - 1) 1 a == substring (m - i - 1) 1 b then go (i + 1) else i;
    in
    go 0;
  cmakeOptionType =
    type: feature: value:
    "-D${feature}:${toUpper type}=${value}";
  cmakeBool = name: on: cmakeOptionType "bool" name (if on then "TRUE" else "FALSE");
  cmakeFeature = cmakeOptionType "string";
  mesonOption = name: value: "-D${name}=${value}";
  mesonBool = name: on: mesonOption name (if on then "true" else "false");
  mesonEnable = name: on: mesonOption name (if on then "enabled" else "disabled");
  toInt =
    s:
    let
      trimmed = match "[ \t\r\n]*(-?[0-9]+)[ \t\r\n]*" s;
      digits = head trimmed;
    in
    if trimmed == null then
      throw "toInt: Could not convert ${escapeNixString s} to int."
    else if match "-?0[0-9]+" digits != null then
      throw "toInt: Ambiguity in interpretation of ${escapeNixString s} between octal and zero padded integer."
    else
      builtins.fromJSON digits;
  toIntBase10 =
    s:
    let
      trimmed = match "[ \t\r\n]*(-?)0*([0-9]+)[ \t\r\n]*" s;
    in
    if trimmed == null then
      throw "toIntBase10: Could not convert ${escapeNixString s} to int."
    else
      builtins.fromJSON (elemAt trimmed 0 + elemAt trimmed 1);
  readPathsFromFile =
    root: file:
    map (path: root + "/${path}") (
      filter (line: line != "" && !lib.hasPrefix "#" line) (splitString "\n" (builtins.readFile file))
    );
  fileContents = file: lib.removeSuffix "\n" (builtins.readFile file);
  makeSearchPath = dir: paths: concatStringsSep ":" (map (path: "${path}/${dir}") (filter (x: x != null) paths));
  makeSearchPathOutput = output: dir: pkgs: makeSearchPath dir (map (lib.getOutput output) pkgs);
  makeBinPath = makeSearchPathOutput "bin" "bin";
  makeLibraryPath = makeSearchPathOutput "lib" "lib";
  makeIncludePath = makeSearchPathOutput "dev" "include";
  enableFeature = on: name: "--${if on then "enable" else "disable"}-${name}";
  enableFeatureAs = on: name: value: enableFeature on name + (if on then "=${value}" else "");
  withFeature = on: name: "--${if on then "with" else "without"}-${name}";
  withFeatureAs = on: name: value: withFeature on name + (if on then "=${value}" else "");
  levenshtein = show.distance;
  levenshteinAtMost = k: a: b: show.distance a b <= k;
  nameFromURL = url: sep: head (splitString sep (lib.last (splitString "/" url)));
  sanitizeDerivationName =
    s:
    let
      name = lib.concatMapStrings (part: if isList part then "-" else part) (
        split "[^[:alnum:]+._?=-]+" (
          head (match "\\.*(.*)" (builtins.unsafeDiscardStringContext (toString s)))
        )
      );
      short = substring (lib.max 0 (stringLength name - 207)) (-1) name;
    in
    if short == "" then "unknown" else short;
}
