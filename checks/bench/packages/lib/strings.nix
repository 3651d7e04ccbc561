{ lib }:
rec {
  inherit (builtins) concatStringsSep replaceStrings stringLength substring;
  concatStrings = concatStringsSep "";
  concatMapStringsSep = separator: f: list: concatStringsSep separator (map f list);
  optionalString = condition: text: if condition then text else "";
  hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
  hasSuffix =
    suffix: text:
    let
      rest = stringLength text - stringLength suffix;
    in
    rest >= 0 && substring rest (-1) text == suffix;
  removePrefix = prefix: text: if hasPrefix prefix text then substring (stringLength prefix) (-1) text else text;
  escapeShellArg =
    arg:
    let
      text = toString arg;
    in
    if builtins.match "[[:alnum:],._+:@%/-]+" text == null then "'${replaceStrings [ "'" ] [ "'\\''" ] text}'" else text;
  escapeShellArgs = concatMapStringsSep " " escapeShellArg;
  fixedWidthNumber =
    width: number:
    let
      text = toString number;
    in
    if stringLength text >= width then text else fixedWidthString width text;
  fixedWidthString = width: text: if stringLength text >= width then text else fixedWidthString width "0${text}";
  splitString = separator: text: builtins.filter builtins.isString (builtins.split (escapeRegex separator) text);
  escapeRegex = replaceStrings [ "." "+" "*" "[" "(" "?" "|" "\\" ] [ "\\." "\\+" "\\*" "\\[" "\\(" "\\?" "\\|" "\\\\" ];
  toUpper = replaceStrings (chars "abcdefghijklmnopqrstuvwxyz") (chars "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
  chars = text: builtins.genList (n: substring n 1 text) (stringLength text);
  versionOlder = a: b: builtins.compareVersions b a == 1;
  versionAtLeast = a: b: !versionOlder a b;
  getName = package: package.pname or (builtins.parseDrvName package.name).name;
  getVersion = package: package.version or (builtins.parseDrvName package.name).version;
  makeSearchPath = sub: packages: concatMapStringsSep ":" (package: "${package}/${sub}") (builtins.filter (x: x != null) packages);
  makeBinPath = packages: makeSearchPath "bin" (map lib.getBin packages);
}
