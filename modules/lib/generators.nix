# Values as text in the languages of others.
{ basics, show }:
let
  inherit (basics)
    attrNames
    concatLists
    concatMap
    concatMapStringsSep
    concatStringsSep
    functionArgs
    isAttrs
    isBool
    isDerivation
    isFloat
    isFunctionLike
    isInt
    isList
    isPath
    isString
    isStringLike
    map
    mapAttrs
    mapAttrsToList
    replaceStrings
    toJSON
    ;
  inherit (builtins) typeOf unsafeDiscardStringContext;

  lines = text: builtins.filter isString (builtins.split "\n" text);
  escaped = marks: replaceStrings marks (map (mark: "\\${mark}") marks);
in
rec {
  mkValueStringDefault =
    _: value:
    if isInt value then
      toString value
    else if isDerivation value then
      toString value
    else if isString value then
      value
    else if value == true then
      "true"
    else if value == false then
      "false"
    else if value == null then
      "null"
    else if isFloat value then
      basics.floatToString value
    else
      throw "generators.mkValueStringDefault: ${show.article value} is not supported: ${
        toPretty { } value
      }";

  mkKeyValueDefault =
    {
      mkValueString ? mkValueStringDefault { },
    }:
    separator: key: value:
    "${escaped [ separator ] key}${separator}${mkValueString value}";

  toKeyValue =
    {
      mkKeyValue ? mkKeyValueDefault { } "=",
      listsAsDuplicateKeys ? false,
      indent ? "",
    }:
    let
      line = key: value: indent + mkKeyValue key value + "\n";
    in
    set:
    basics.concatStrings (
      concatLists (
        mapAttrsToList (
          key: value:
          if listsAsDuplicateKeys && isList value then map (line key) value else [ (line key value) ]
        ) set
      )
    );

  toINI =
    {
      mkSectionName ? (name: escaped [ "[" "]" ] name),
      mkKeyValue ? mkKeyValueDefault { } "=",
      listsAsDuplicateKeys ? false,
    }:
    set:
    concatStringsSep "\n" (
      mapAttrsToList (
        name: section:
        "[${mkSectionName name}]\n${toKeyValue { inherit mkKeyValue listsAsDuplicateKeys; } section}"
      ) set
    );
  toINIWithGlobalSection =
    {
      mkSectionName ? (name: escaped [ "[" "]" ] name),
      mkKeyValue ? mkKeyValueDefault { } "=",
      listsAsDuplicateKeys ? false,
    }@args:
    {
      globalSection,
      sections ? { },
    }:
    (
      if globalSection == { } then
        ""
      else
        toKeyValue { inherit mkKeyValue listsAsDuplicateKeys; } globalSection + "\n"
    )
    + toINI { inherit mkSectionName mkKeyValue listsAsDuplicateKeys; } sections;

  # JSON is YAML.
  toJSON = _: builtins.toJSON;
  toYAML = _: builtins.toJSON;

  mkLuaInline = expr: {
    _type = "lua-inline";
    inherit expr;
  };

  # The same value with what is too deep left out, or an error.
  withRecursion =
    {
      depthLimit,
      throwOnDepthLimit ? true,
    }:
    let
      # What these hold is not for reading.
      special = [
        "__functor"
        "__functionArgs"
        "__toString"
        "__pretty"
      ];
      walk =
        depth: value:
        if depth > depthLimit then
          if throwOnDepthLimit then
            throw "Exceeded maximum eval-depth limit of ${toString depthLimit} while trying to evaluate with `generators.withRecursion'!"
          else
            "<unevaluated>"
        else if isAttrs value then
          mapAttrs (name: inner: if builtins.elem name special then inner else walk (depth + 1) inner) value
        else if isList value then
          map (walk (depth + 1)) value
        else
          value;
    in
    walk 0;

  # As one would write it in Nix.
  toPretty =
    {
      allowPrettyValues ? false,
      multiline ? true,
      indent ? "",
    }:
    let
      go =
        indent: value:
        let
          space = if multiline then "\n${indent}  " else " ";
          end = if multiline then "\n${indent}" else " ";
          deeper = go "${indent}  ";
          text = escaped [ "\\" "\${" ] ;
        in
        if isInt value then
          toString value
        else if isFloat value then
          builtins.toJSON value
        else if isString value then
          let
            split = lines value;
            multi = escaped [ "'''" ];
            body = map (replaceStrings [ "''" "\${" ] [ "'''" "''\${" ]) split;
          in
          if builtins.length split > 1 && multiline then
            "''${space}${concatStringsSep space (basics.take (builtins.length body - 1) body)}${
              if basics.last body == "" then end else space + basics.last body
            }''"
          else
            "\"${replaceStrings [ "\\" "\"" "\n" "\${" ] [ "\\\\" "\\\"" "\\n" "\\\${" ] value}\""
        else if value == true then
          "true"
        else if value == false then
          "false"
        else if value == null then
          "null"
        else if isPath value then
          toString value
        else if isList value then
          if value == [ ] then "[ ]" else "[${space}${concatMapStringsSep space deeper value}${end}]"
        else if isFunctionLike value then
          let
            args = functionArgs value;
          in
          if args == { } then
            "<function>"
          else
            "<function, args: {${
              concatStringsSep ", " (mapAttrsToList (name: optional: if optional then "${name}?" else name) args)
            }}>"
        else if isAttrs value then
          if allowPrettyValues && value ? __pretty && value ? val then
            value.__pretty value.val
          else if value == { } then
            "{ }"
          else if isDerivation value then
            "<derivation ${value.name or "???"}>"
          else
            "{${space}${
              concatStringsSep space (
                mapAttrsToList (
                  name: inner:
                  "${show.showAttr name} = ${
                    builtins.addErrorContext "while evaluating an attribute `${name}`" (deeper inner)
                  };"
                ) value
              )
            }${end}}"
        else
          throw "generators.toPretty: ${typeOf value} is not supported";
    in
    go indent;
}
