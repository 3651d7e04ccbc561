# Numbers, functions, versions, fixed points, warnings.
{ lib, show }:
let
  inherit (builtins)
    elemAt
    foldl'
    head
    isString
    length
    map
    ;
in
rec {
  pipe = foldl' (x: f: f x);
  flip = f: a: b: f b a;
  concat = a: b: a ++ b;
  or = a: b: a || b;
  and = a: b: a && b;
  xor = a: b: (!a) != (!b);
  bitNot = n: -1 - n;
  boolToString = b: if b then "true" else "false";
  boolToYesNo = b: if b then "yes" else "no";
  mapNullable = f: x: if x == null then x else f x;
  defaultTo = default: x: if x == null then default else x;
  compare =
    a: b:
    if a < b then
      -1
    else if a > b then
      1
    else
      0;
  splitByAndCompare =
    pred: yes: no: a: b:
    if pred a then
      if pred b then yes a b else -1
    else if pred b then
      1
    else
      no a b;
  mod = base: int: base - int * (base / int);
  toFunction = x: if lib.isFunction x then x else _: x;
  setFunctionArgs = f: args: {
    __functor = _: f;
    __functionArgs = args;
  };
  mirrorFunctionArgs =
    f:
    let
      args = lib.functionArgs f;
    in
    g: setFunctionArgs g args;
  fromHexString =
    text: (builtins.fromTOML "x=0x${lib.removePrefix "0x" (lib.toLower text)}").x;
  toBaseDigits =
    base: n:
    let
      go = n: if n < base then [ n ] else go (n / base) ++ [ (mod n base) ];
    in
    go n;
  toHexString =
    n:
    lib.concatMapStrings (digit: builtins.substring digit 1 "0123456789ABCDEF") (toBaseDigits 16 n);
  importJSON = file: builtins.fromJSON (builtins.readFile file);
  importTOML = file: builtins.fromTOML (builtins.readFile file);
  pathExists = builtins.pathExists;
  readFile = builtins.readFile;

  warn = show.warn;
  warnIf = cond: message: if cond then warn message else x: x;
  warnIfNot = cond: warnIf (!cond);
  throwIf = cond: message: if cond then throw message else x: x;
  throwIfNot = cond: throwIf (!cond);
  checkListOfEnum =
    what: valid: given: x:
    let
      strange = lib.subtractLists valid given;
    in
    throwIfNot (
      strange == [ ]
    ) "${what}: ${lib.concatStringsSep ", " strange} unexpected; valid ones: ${lib.concatStringsSep ", " valid}" x;
  assertMsg = cond: message: cond || throw message;
  assertOneOf =
    name: value: values:
    assertMsg (builtins.elem value values) "${name} must be one of ${lib.generators.toPretty { } values}, but is: ${lib.generators.toPretty { } value}";
  assertEachOneOf =
    name: given: values:
    assertMsg (builtins.all (value: builtins.elem value values) given) "each element in ${name} must be one of ${lib.generators.toPretty { } values}, but is: ${lib.generators.toPretty { } given}";
  traceVal = x: builtins.trace x x;
  traceValFn = f: x: builtins.trace (f x) x;
  traceSeq = x: y: builtins.trace (builtins.deepSeq x x) y;
  traceValSeq = x: builtins.trace (builtins.deepSeq x x) x;
  traceIf =
    cond: message: x:
    if cond then builtins.trace message x else x;

  # Releases: there is none of this library.
  oldestSupportedRelease = 2511;
  oldestSupportedReleaseIsAtLeast = release: release <= oldestSupportedRelease;
  isInOldestRelease = oldestSupportedReleaseIsAtLeast;
  inNixShell = builtins.getEnv "IN_NIX_SHELL" != "";
  inPureEvalMode = !(builtins ? currentSystem);

  fix =
    f:
    let
      x = f x;
    in
    x;
  fix' =
    f:
    let
      x = f x // {
        __unfix__ = f;
      };
    in
    x;
  converge =
    f: x:
    let
      next = f x;
    in
    if next == x then x else converge f next;
  extends =
    overlay: f: final:
    let
      previous = f final;
    in
    previous // overlay final previous;
  composeExtensions =
    f: g: final: previous:
    let
      first = f final previous;
    in
    first // g final (previous // first);
  composeManyExtensions = lib.foldr composeExtensions (_: _: { });
  makeExtensibleWithCustomName =
    name: f:
    fix' (
      self:
      f self
      // {
        ${name} = overlay: makeExtensibleWithCustomName name (extends overlay f);
      }
    );
  makeExtensible = makeExtensibleWithCustomName "extend";
  toExtension =
    f:
    if lib.isFunction f then
      final: previous:
      let
        once = f previous;
      in
      if lib.isFunction once then f final previous else once
    else
      _: _: f;

  versionOlder = a: b: builtins.compareVersions b a == 1;
  versionAtLeast = a: b: !versionOlder a b;
  getName = x: let parse = name: (builtins.parseDrvName name).name; in if isString x then parse x else x.pname or (parse x.name);
  getVersion = x: let parse = name: (builtins.parseDrvName name).version; in if isString x then parse x else x.version or (parse x.name);
  versions = rec {
    splitVersion = builtins.splitVersion;
    major = v: elemAt (splitVersion v) 0;
    minor = v: elemAt (splitVersion v) 1;
    patch = v: elemAt (splitVersion v) 2;
    majorMinor = v: lib.concatStringsSep "." (lib.take 2 (splitVersion v));
    pad =
      n: v:
      let
        numbers = head (lib.splitString "-" v);
        parts = lib.splitString "." numbers;
        missing = n - length parts;
      in
      lib.concatStringsSep "." (lib.take n (parts ++ lib.genList (_: "0") (lib.max 0 missing)))
      + lib.removePrefix numbers v;
  };
}
