# What options say about themselves, as lists of records and as Markdown.
{
  basics,
  show,
  options,
  generators,
}:
let
  inherit (basics)
    attrValues
    concatMap
    concatMapStrings
    concatMapStringsSep
    concatStringsSep
    filter
    isAttrs
    isBool
    isDerivation
    isList
    isString
    map
    mapAttrs
    sort
    ;
  inherit (options.public) isOption literalExpression;
  inherit (show) showOption unknownFile;

  # All options in a set of sets of them.
  optionsIn =
    set:
    if isOption set then
      [ set ]
    else if isAttrs set then
      concatMap optionsIn (attrValues set)
    else
      [ ];

  renderOptionValue =
    value:
    if value ? _type && value ? text then
      value
    else
      literalExpression (
        generators.toPretty {
          multiline = true;
          allowPrettyValues = true;
        } value
      );

  describe =
    option:
    let
      name = showOption option.loc;
      visible = option.visible or true;
      inner = option.type.getSubOptions option.loc;
      empty = (option.type or { }).emptyValue or { };
      # A type with a natural nothing has that for a default, unless it is made of options.
      hasDefault =
        option ? defaultText
        || option ? default
        || empty ? value && ((option.type or { }).getSubModules or null) == null;
      rendered =
        what: value:
        builtins.addErrorContext "while evaluating the ${what} of option `${name}`" (
          renderOptionValue value
        );
    in
    [
      (
        {
          inherit name;
          inherit (option) loc;
          description = option.description or null;
          declarations = filter (file: file != unknownFile) option.declarations;
          internal = option.internal or false;
          visible = if isBool visible then visible else visible == "shallow";
          readOnly = option.readOnly or false;
          type = option.type.description or "unspecified";
        }
        // (if option ? example then { example = rendered "example" option.example; } else { })
        // (
          if hasDefault then
            {
              default = rendered (if option ? defaultText then "defaultText" else "default value") (
                option.defaultText or option.default or empty.value
              );
            }
          else
            { }
        )
        // (
          if (option.relatedPackages or null) == null then { } else { inherit (option) relatedPackages; }
        )
      )
    ]
    ++ (
      if (if isBool visible then visible else visible == "transparent") && inner != { } then
        optionAttrSetToDocList inner
      else
        [ ]
    );

  optionAttrSetToDocList = options: concatMap describe (optionsIn options);

  text = value: if isString value then value else value.text or "";
  code =
    value:
    if (value._type or null) == "literalMD" then
      " ${value.text}"
    else if builtins.match ".*\n.*" value.text == null then
      " `${value.text}`"
    else
      "\n\n```nix\n${value.text}\n```";
  # Without the markup that only nixpkgs' renderer knows.
  plain =
    description:
    builtins.replaceStrings
      [
        "{option}`"
        "{var}`"
        "{file}`"
        "{command}`"
        "{env}`"
      ]
      [
        "`"
        "`"
        "`"
        "`"
        "`"
      ]
      (text description);
  paragraph =
    option:
    concatStringsSep "\n\n" (
      [
        "## `${option.name}`"
        (withoutEnd (plain (if option.description == null then "" else option.description)))
        "*Type:* ${option.type}${if option.readOnly then " *(read only)*" else ""}"
      ]
      ++ (if option ? default then [ "*Default:*${code option.default}" ] else [ ])
      ++ (if option ? example then [ "*Example:*${code option.example}" ] else [ ])
    )
    + "\n";
  withoutEnd =
    words:
    let
      parts = builtins.match "(.*[^\n ])[\n ]*" words;
    in
    if parts == null then "" else builtins.head parts;
in
{
  inherit optionAttrSetToDocList renderOptionValue;
  optionAttrSetToDocList' = _: optionAttrSetToDocList;

  scrubOptionValue =
    let
      scrub =
        x:
        if isDerivation x then
          {
            type = "derivation";
            drvPath = x.name;
            outPath = x.name;
            inherit (x) name;
          }
        else if isList x then
          map scrub x
        else if isAttrs x then
          mapAttrs (_: scrub) (removeAttrs x [ "_args" ])
        else
          x;
    in
    scrub;

  # A page about the options that a person sets.
  optionsToMarkdown =
    options:
    concatMapStringsSep "\n" paragraph (
      sort (a: b: a.loc < b.loc) (
        filter (option: option.visible && !option.internal) (optionAttrSetToDocList options)
      )
    );

  # The same as a section of a page for man(1), in mdoc's elder language.
  optionsToMan =
    options:
    let
      escape =
        words:
        builtins.replaceStrings
          [
            "\\"
            "\n."
            "\n'"
            "-"
          ]
          [
            "\\e"
            "\n\\&."
            "\n\\&'"
            "\\-"
          ]
          words;
      item =
        option:
        ".TP\n.B ${escape option.name}\n${
          escape (withoutEnd (plain (if option.description == null then "" else option.description)))
        }\n.br\nType: ${escape option.type}\n${
          if option ? default then ".br\nDefault: ${escape option.default.text}\n" else ""
        }";
    in
    concatMapStrings item (
      sort (a: b: a.loc < b.loc) (
        filter (option: option.visible && !option.internal) (optionAttrSetToDocList options)
      )
    );
}
