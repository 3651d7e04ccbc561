# The tree of options: what modules declare, and the value that definitions make of each.
{
  basics,
  show,
  properties,
  options,
  declarations,
}:
let
  inherit (basics)
    attrNames
    concatMap
    concatMapStringsSep
    filter
    head
    intersectAttrs
    isAttrs
    length
    map
    mapAttrs
    withContext
    zipAttrsWith
    ;
  inherit (options)
    mergeDefinitions
    noValue
    valueOf
    ;
  inherit (properties) pushDown resolve;
  inherit (properties.public) mkOptionDefault;
  inherit (show) showDefs showOption;

  # Names with the definitions that each has.
  byName =
    loc: names: defs:
    if length defs == 1 && isAttrs (head defs).value && !((head defs).value ? _type) then
      let
        inherit (head defs) file value;
      in
      mapAttrs (_: value: [ { inherit file value; } ]) value
    else
      zipAttrsWith (_: all: all) (
        concatMap (
          def:
          map (
            values:
            if isAttrs values then
              mapAttrs (_: value: {
                inherit (def) file;
                inherit value;
              }) values
            else
              notASet loc names def.file values
          ) (pushDown def.value)
        ) defs
      );

  notASet =
    loc: names: file: value:
    let
      known = filter (name: name != "_module") names;
    in
    throw "${
      if loc == [ ] then "A module" else "`${showOption loc}'"
    } is a set of options, but it is given ${show.article value}:${
      showDefs [ { inherit file value; } ]
    }${
      if known == [ ] then
        ""
      else
        "\nDid you mean one of ${
          concatMapStringsSep ", " (name: "`${showOption (loc ++ [ name ])}'") known
        }?"
    }";

  # One level of the tree with its values. `unmatched` are the definitions that no option takes.
  # `more` are definitions by name that come before all others.
  mergeTree =
    loc: declared: defs: more:
    let
      inherit (declared) parts names;
      defined = byName loc names defs;
      definitions = if more == { } then defined else defined // mapAttrs (name: own: own ++ defined.${name} or [ ]) more;
      inner = mapAttrs (
        name: defs: mergeTree (loc ++ [ name ]) parts.${name}.set defs { }
      ) (intersectAttrs parts definitions);
      config = mapAttrs (
        name: part:
        if part ? set then
          if definitions ? ${name} then
            inner.${name}.config
          else if part.sharable then
            part.shared.value
          else
            (untouched (loc ++ [ name ]) part.set).config
        else if definitions ? ${name} then
          optionValue (loc ++ [ name ]) (optionAt (loc ++ [ name ]) part) definitions.${name}
        else if part.shared.use then
          part.shared.value
        else
          optionValue (loc ++ [ name ]) (optionAt (loc ++ [ name ]) part) [ ]
      ) parts;
      unmatched =
        map (name: {
          prefix = loc;
          inherit name;
          defs = defined.${name};
          known = names;
        }) (attrNames (removeAttrs defined names))
        # What is not defined holds no strangers.
        ++ concatMap (name: if parts.${name} ? set then inner.${name}.unmatched else [ ]) (
          attrNames (intersectAttrs parts defined)
        );
    in
    {
      inherit defined config unmatched;
      options = mapAttrs (
        name: part:
        if part ? set then
          (inner.${name} or (untouched (loc ++ [ name ]) part.set)).options
        else
          describe (loc ++ [ name ]) (optionAt (loc ++ [ name ]) part) (definitions.${name} or [ ]) config.${name}
      ) parts;
    };
  untouched = loc: declared: mergeTree loc declared [ ] { };

  # Declarations that contradict each other say so in the name of the place where they are.
  optionAt = loc: part: if part.sound.success then part.sound.value else part.finish loc;

  withDefault =
    option: defs:
    if option ? default then
      [
        {
          file = head option.declarations;
          value = mkOptionDefault option.default;
        }
      ]
      ++ defs
    else
      defs;

  twice =
    loc: option: defs:
    throw "The option `${showOption loc}' is read-only, but it's set multiple times. Definition values:${
      showDefs (
        map (def: def // { value = (mergeDefinitions loc option.type [ def ]).mergedValue; }) defs
      )
    }";

  # Definitions that count. The default is the weakest of all and stands aside where another
  # definition says nothing about itself.
  live =
    loc: option: defs:
    if option.readOnly or false && option ? default && defs != [ ] || option.readOnly or false && length defs > 1 then
      twice loc option (withDefault option defs)
    else if defs == [ ] then
      if option ? default then
        [
          {
            file = head option.declarations;
            value = option.default;
          }
        ]
      else
        [ ]
    else if length defs == 1 && !((head defs).value ? _type) then
      defs
    else
      (resolve (withDefault option defs)).values;

  optionValue =
    loc: option: defs:
    withContext "while evaluating the option `${showOption loc}':" (
      let
        values = live loc option defs;
        inherit (option) type;
        value = if values == [ ] then type.emptyValue.value or (noValue loc) else valueOf loc type values;
      in
      if option ? apply then option.apply value else value
    );

  # An option as modules see it in `options`.
  describe =
    loc: option: defs: value:
    let
      all = withDefault option defs;
      merged =
        if option.readOnly or false && length all > 1 then
          twice loc option all
        else
          mergeDefinitions loc option.type all;
    in
    option
    // {
      inherit loc value;
      inherit (merged) isDefined;
      inherit (merged.defsFinal') highestPrio;
      inherit (merged.checkedAndMerged) valueMeta;
      definitions = map (def: def.value) merged.defsFinal;
      definitionsWithLocations = merged.defsFinal;
      files = map (def: def.file) merged.defsFinal;
      __toString = _: showOption loc;
    };
in
{
  inherit mergeTree optionValue;

  declare = declarations.declare optionValue;

  # As `lib.types.attrTag` and others of its kind use it.
  evalOptionValue = loc: option: defs: describe loc option defs (optionValue loc option defs);
}
