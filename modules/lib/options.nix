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
    filter
    head
    length
    tail
    ;
  inherit (show) showDefs showOption;
  inherit (properties) resolve;

  mkOption =
    {
      default ? null,
      defaultText ? null,
      example ? null,
      description ? null,
      type ? null,
      apply ? null,
      internal ? null,
      visible ? null,
      readOnly ? null,
      relatedPackages ? null,
    }@attrs:
    attrs // { _type = "option"; };

  priorityHint = "Use `lib.mkForce value' or `lib.mkDefault value' to change the priority of one of them.";
in
rec {
  # Value of one option or one element: `isDefined` tells whether anything gives it a value
  # without evaluating that value further than its wrappers.
  mergeDefinitions =
    loc: type: defs:
    let
      live = resolve defs;
      wrong = filter (def: !type.check def.value) live;
    in
    {
      inherit live;
      isDefined = live != [ ];
      value =
        if live == [ ] then
          throw "The option `${showOption loc}' was accessed but has no value defined. Try setting the option."
        else if wrong != [ ] then
          throw "A definition for option `${showOption loc}' is not of type `${type.description}'. Definition values:${showDefs wrong}"
        else
          type.merge loc live;
    };

  mergeOneOption =
    loc: defs:
    if length defs == 1 then
      (head defs).value
    else
      throw "The option `${showOption loc}' is defined multiple times while it's expected to be unique.\nDefinition values:${showDefs defs}\n${priorityHint}";

  mergeEqualOption =
    loc: defs:
    let
      first = (head defs).value;
    in
    if all (def: def.value == first) (tail defs) then
      first
    else
      throw "The option `${showOption loc}' has conflicting definition values:${showDefs defs}\n${priorityHint}";

  public = {
    inherit mkOption mergeOneOption mergeEqualOption;

    mkEnableOption =
      name:
      mkOption {
        type = types.bool;
        default = false;
        example = true;
        description = "Whether to enable ${name}.";
      };

    isOption = x: (x._type or null) == "option";
    literalExpression = text: {
      _type = "literalExpression";
      inherit text;
    };
    literalMD = text: {
      _type = "literalMD";
      inherit text;
    };
  };
}
