# Declaring one option, and merging the definitions of one.
{
  basics,
  show,
  properties,
  types,
}:
let
  inherit (basics)
    all
    any
    attrNames
    concatLists
    concatMapStringsSep
    concatStrings
    filter
    foldl'
    head
    isAttrs
    isBool
    isFunctionLike
    isInt
    isList
    isString
    last
    length
    map
    tail
    toList
    ;
  inherit (show)
    showDefs
    showFiles
    showOption
    ;
  inherit (properties) resolve;

  priorityHint = "Use `lib.mkForce value' or `lib.mkDefault value' to change the priority of one of them.";
in
rec {
  noValue =
    loc: throw "The option `${showOption loc}' was accessed but has no value defined. Try setting the option.";

  wrongType =
    loc: type: words:
    throw "A definition for option `${showOption loc}' is not of type `${type.description}'.${words}";

  # The error of definitions that a check refuses, or null: what `merge.v2` gives as `headError`.
  headError =
    check: defs:
    if all (def: check def.value) defs then
      null
    else
      { message = "Definition values:${showDefs (filter (def: !check def.value) defs)}${leftOver defs}"; };

  # A wrapper inside another that is taken off last is a value like any other.
  leftOver =
    defs:
    if
      any (
        def:
        builtins.elem (def.value._type or null) [
          "if"
          "merge"
          "override"
          "order"
        ]
      ) defs
    then
      "\nA condition or a merge goes around a priority, and a priority around an order: `mkIf condition (mkForce (mkBefore value))'."
    else
      "";

  # `type // { check = …; }` would be without effect where checking and merging are one function.
  coherent =
    loc: type: result:
    if type.check.isV2MergeCoherent or false then
      result
    else
      throw "The option `${showOption loc}' has a type `${type.description}' with an ad-hoc `type // { check = …; }' override, which is incompatible with the v2 merge mechanism. Please use `lib.types.addCheck type check' instead.";

  merged2 =
    loc: type: defs:
    coherent loc type (type.merge.v2 { inherit loc defs; });

  # The value that definitions which count (see `resolve`) give.
  valueOf =
    loc: type: live:
    if type.merge ? v2 then
      let
        merged = merged2 loc type live;
        problem = merged.headError or null;
      in
      if problem == null then merged.value else wrongType loc type " ${problem.message}"
    else if all (def: type.check def.value) live then
      # The hint that one definition by itself is the value saves a call.
      if type.merge ? single && length live == 1 then (head live).value else type.merge loc live
    else
      wrongType loc type " ${(headError type.check live).message}";

  # All there is to know about the definitions of one option or one element.
  mergeDefinitions =
    loc: type: defs:
    let
      live = resolve defs;
      isDefined = live.values != [ ];
      merged = merged2 loc type live.values;
      mergedValue =
        if !isDefined then
          type.emptyValue.value or (noValue loc)
        else if type.merge ? v2 then
          if merged.headError or null == null then
            merged.value
          else
            wrongType loc type " ${merged.headError.message}"
        else
          valueOf loc type live.values;
    in
    {
      defsFinal' = live;
      defsFinal = live.values;
      inherit isDefined mergedValue;
      optionalValue = if isDefined then { value = mergedValue; } else { };
      checkedAndMerged =
        if type.merge ? v2 then
          merged // { valueMeta = merged.valueMeta // { _internal = { inherit type; }; }; }
        else
          {
            headError = null;
            value = mergedValue;
            valueMeta = { };
          };
    };

  mergeUniqueOption =
    {
      message,
      merge ? (_: defs: (head defs).value),
    }:
    loc: defs:
    if length defs == 1 then
      merge loc defs
    else
      throw "The option `${showOption loc}' is defined multiple times while it's expected to be unique.\n${
        if message == "" then "" else "${message}\n"
      }Definition values:${showDefs defs}\n${priorityHint}";

  mergeOneOption = mergeUniqueOption { message = ""; };

  mergeEqualOption =
    loc: defs:
    let
      first = (head defs).value;
    in
    if all (def: def.value == first) (tail defs) then
      first
    else
      throw "The option `${showOption loc}' has conflicting definition values:${showDefs defs}\n${priorityHint}";

  # For types that say nothing about merging: what seems natural for the values at hand.
  mergeDefaultOption =
    loc: defs:
    let
      values = map (def: def.value) defs;
    in
    if length values == 1 then
      head values
    else if all isFunctionLike values then
      argument:
      mergeDefaultOption loc (
        map (def: {
          inherit (def) file;
          value = def.value argument;
        }) defs
      )
    else if all isList values then
      concatLists values
    else if all isAttrs values then
      foldl' (merged: value: merged // value) { } values
    else if all isBool values then
      any (value: value) values
    else if all isString values then
      concatStrings values
    else if all isInt values && all (value: value == head values) values then
      head values
    else
      throw "Cannot merge definitions of `${showOption loc}'. Definition values:${showDefs defs}";

  public = rec {
    inherit
      mergeDefaultOption
      mergeEqualOption
      mergeOneOption
      mergeUniqueOption
      ;
    inherit (show)
      showDefs
      showFiles
      showOption
      ;

    mkOption =
      {
        default ? null,
        defaultText ? null,
        example ? null,
        description ? null,
        relatedPackages ? null,
        type ? null,
        apply ? null,
        internal ? null,
        visible ? null,
        readOnly ? null,
      }@attrs:
      attrs // { _type = "option"; };

    mkEnableOption =
      name:
      mkOption {
        type = types.bool;
        default = false;
        example = true;
        description = "Whether to enable ${name}.";
      };

    mkPackageOption =
      pkgs: name:
      {
        nullable ? false,
        default ? name,
        example ? null,
        extraDescription ? "",
        pkgsText ? "pkgs",
      }:
      let
        path = toList default;
        text = concatMapStringsSep "." show.showAttr path;
        found = foldl' (
          set: part: set.${part} or (throw "${text} cannot be found in ${pkgsText}")
        ) pkgs path;
      in
      mkOption (
        {
          description = "The ${if isList name then last name else name} package to use.${
            if extraDescription == "" then "" else " ${extraDescription}"
          }";
          type = if nullable then types.nullOr types.package else types.package;
        }
        // (
          if default != null then
            {
              default = found;
              defaultText = literalExpression "${pkgsText}.${text}";
            }
          else if nullable then
            { default = null; }
          else
            { }
        )
        // (
          if example == null then
            { }
          else
            {
              example = literalExpression (
                if isList example then "${pkgsText}.${concatMapStringsSep "." show.showAttr example}" else example
              );
            }
        )
      );

    # Takes any definition, and has no value.
    mkSinkUndeclaredOptions =
      attrs:
      mkOption (
        {
          internal = true;
          visible = false;
          default = false;
          description = "Sink for option definitions.";
          type = types.mkOptionType {
            name = "sink";
            merge = _: _: false;
          };
          apply = _: throw "Option value is not readable because the option is not declared.";
        }
        // attrs
      );

    isOption = x: (x._type or null) == "option";
    literalExpression =
      text:
      if isString text then
        {
          _type = "literalExpression";
          inherit text;
        }
      else
        throw "literalExpression takes a string, not ${show.article text}.";
    literalMD =
      text:
      if isString text then
        {
          _type = "literalMD";
          inherit text;
        }
      else
        throw "literalMD takes a string, not ${show.article text}.";
    literalCode = language: text: literalMD "```${language}\n${text}\n```\n";

    getValues = map (def: def.value);
    getFiles = map (def: def.file);
    unknownModule = show.unknownFile;
    showOptionWithDefLocs =
      option:
      "${showOption option.loc}, with values defined in:\n${
        concatMapStringsSep "\n" (file: "  - ${file}") option.files
      }\n";
  };
}
