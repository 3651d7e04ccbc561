# Types made of other types, and types with further conditions.
{
  basics,
  show,
  options,
  tree,
  declarations,
  mkOptionType,
  defaultFunctor,
  phrase,
  wrapping,
  checking,
  merging2,
  placelessAs,
  types,
  ...
}:
let
  inherit (basics)
    all
    attrNames
    concatMapStringsSep
    elemAt
    filter
    foldl'
    head
    isAttrs
    length
    map
    mapAttrs
    tail
    withContext
    ;
  inherit (options)
    coherent
    headError
    mergeOneOption
    mergeUniqueOption
    ;
  inherit (show) showAttr showDefs showOption;

  filesOf = defs: show.showFiles (map (def: def.file) defs);

  # Any type's merge, with its verdict.
  judged =
    loc: type: defs:
    if type.merge ? v2 then
      coherent loc type (type.merge.v2 { inherit loc defs; })
    else
      {
        headError = headError type.check defs;
        value = type.merge loc defs;
        valueMeta = { };
      };

  either =
    left: right:
    let
      description =
        if (left.descriptionClass or null) == "nonRestrictiveClause" then
          "${left.description}, or ${
            phrase [
              "noun"
              "conjunction"
            ] right
          }"
        else
          "${
            phrase [
              "noun"
              "conjunction"
            ] left
          } or ${
            phrase [
              "noun"
              "conjunction"
              "composite"
            ] right
          }";
      functor = {
        name = "either";
        type = either;
        payload.elemType = [
          left
          right
        ];
        binOp = _: _: null;
      };
    in
    mkOptionType {
      name = "either";
      inherit description functor;
      descriptionClass = "conjunction";
      check = checking (x: left.check x || right.check x);
      merge = merging2 (
        { loc, defs }:
        let
          asLeft = judged loc left defs;
          asRight = judged loc right defs;
          problem.message = "The option `${showOption loc}' is neither a value of type `${left.description}' nor `${right.description}', Definition values: ${showDefs defs}";
        in
        if asLeft.headError == null then
          asLeft
        else if asRight.headError == null then
          asRight
        else
          {
            headError = problem;
            valueMeta.headError = problem;
            # Where nobody asks for the verdict (a freeform type), a warning has to do.
            value = show.warn "One or more definitions did not pass the type-check of the 'either' type.\n${problem.message}\nA freeform type is `attrsOf (either …)', not `either …'." (
              mergeOneOption loc defs
            );
          }
      ) { placeless = placelessAs [
          left
          right
        ]; };
      typeMerge =
        other:
        if other.name != "either" then
          null
        else
          let
            l = left.typeMerge (elemAt other.payload.elemType 0).functor;
            r = right.typeMerge (elemAt other.payload.elemType 1).functor;
          in
          if l == null || r == null then null else either l r;
      nestedTypes = { inherit left right; };
    };

  unique =
    { message }:
    type:
    mkOptionType {
      name = "unique";
      inherit (type)
        description
        descriptionClass
        check
        emptyValue
        getSubOptions
        getSubModules
        ;
      merge = mergeUniqueOption {
        inherit message;
        inherit (type) merge;
      };
      substSubModules = modules: types.uniq (type.substSubModules modules);
      functor = wrapping "unique" (unique { inherit message; }) type;
      nestedTypes.elemType = type;
    };

  attrTag =
    tags:
    let
      choices = concatMapStringsSep ", " showAttr (attrNames tags);
      checkedTags = mapAttrs (
        name: option:
        let
          pos = builtins.unsafeGetAttrPos name tags;
          kind = option._type or null;
        in
        withContext
          "while checking that attrTag tag ${showAttr name} is an option with a type${
            if pos == null then "" else " at ${pos.file}:${toString pos.line}:${toString pos.column}"
          }"
          (
            if kind != "option" then
              throw "In attrTag, each tag value must be an option, but tag ${showAttr name} ${
                if kind == null then
                  "was not."
                else if kind == "option-type" then
                  "was a bare type, not wrapped in mkOption."
                else
                  "was of type \"${kind}\"."
              }"
            else
              option
              // {
                declarations = option.declarations or (if pos == null then [ ] else [ pos.file ]);
                declarationPositions = option.declarationPositions or (if pos == null then [ ] else [ pos ]);
              }
          )
      ) tags;
    in
    mkOptionType {
      name = "attrTag";
      description = "attribute-tagged union with choices: ${choices}";
      descriptionClass = "noun";
      check = x: isAttrs x && length (attrNames x) == 1 && checkedTags ? ${head (attrNames x)};
      merge =
        loc: defs:
        let
          tag = head (attrNames (head defs).value);
          other = filter (def: attrNames def.value != [ tag ]) defs;
        in
        if !(checkedTags ? ${tag}) then
          throw "The option `${showOption loc}' is defined as ${showAttr tag}, which is not among the valid choices (${choices}), in ${filesOf defs}."
        else
          {
            ${tag} = tree.optionValue (loc ++ [ tag ]) checkedTags.${tag} (
              map (def: {
                inherit (def) file;
                value =
                  if other == [ ] then
                    def.value.${tag}
                  else
                    throw "The option `${showOption loc}' is defined both as `${tag}' and `${
                      head (attrNames (head other).value)
                    }', in ${filesOf defs}.";
              }) defs
            );
          };
      getSubOptions =
        prefix: mapAttrs (name: option: option // { loc = prefix ++ [ name ]; }) checkedTags;
      nestedTypes = checkedTags;
      functor = defaultFunctor "attrTag" // {
        type = payload: attrTag payload.tags;
        payload.tags = checkedTags;
        binOp = a: b: {
          tags =
            a.tags
            // b.tags
            // mapAttrs (
              name: option:
              declarations.mergeOptionDecls
                [ name ]
                (map
                  (options: {
                    inherit options;
                    _file = "<attrTag {...}>";
                    pos = null;
                  })
                  [
                    a.tags.${name}
                    option
                  ]
                )
              // {
                declarations = a.tags.${name}.declarations ++ option.declarations;
                declarationPositions = a.tags.${name}.declarationPositions ++ option.declarationPositions;
              }
            ) (builtins.intersectAttrs a.tags b.tags);
        };
      };
    };
in
rec {
  inherit attrTag either unique;

  uniq = unique { message = ""; };

  oneOf =
    alternatives:
    if alternatives == [ ] then
      throw "types.oneOf needs to get at least one type in its argument"
    else
      foldl' either (head alternatives) (tail alternatives);

  nullOr =
    elemType:
    mkOptionType {
      name = "nullOr";
      description = "null or ${
        phrase [
          "noun"
          "conjunction"
        ] elemType
      }";
      descriptionClass = "conjunction";
      check = x: x == null || elemType.check x;
      merge = {
        __functor =
          _: loc: defs:
          let
            nulls = filter (def: def.value == null) defs;
          in
          if nulls == [ ] then
            elemType.merge loc defs
          else if length nulls == length defs then
            null
          else
            throw "The option `${showOption loc}' is defined both null and not null, in ${filesOf defs}.";
        placeless = placelessAs [ elemType ];
        placelessEmpty = true;
      };
      emptyValue.value = null;
      inherit (elemType) getSubOptions getSubModules;
      substSubModules = modules: nullOr (elemType.substSubModules modules);
      functor = wrapping "nullOr" nullOr elemType;
      nestedTypes = { inherit elemType; };
    };

  coercedTo =
    coercedType: convert: finalType:
    if coercedType.getSubModules != null then
      throw "coercedTo: coercedType must not have submodules (it’s a ${coercedType.description})"
    else
      let
        check = checking (x: coercedType.check x && finalType.check (convert x) || finalType.check x);
        accepts =
          loc: def:
          if coercedType.merge ? v2 then
            (judged loc coercedType [ def ]).headError == null
          else
            coercedType.check def.value;
      in
      mkOptionType {
        name = "coercedTo";
        description = "${phrase [ "noun" ] finalType} or ${phrase [ "noun" ] coercedType} convertible to it";
        inherit check;
        merge = merging2 (
          { loc, defs }:
          let
            converted = map (
              def: if accepts loc def then def // { value = convert def.value; } else def
            ) defs;
          in
          if finalType.merge ? v2 then
            judged loc finalType converted
          else
            {
              headError = headError check defs;
              value = finalType.merge loc converted;
              valueMeta = { };
            }
        ) { placeless = placelessAs [ finalType ]; };
        inherit (finalType) emptyValue getSubOptions getSubModules;
        substSubModules = modules: coercedTo coercedType convert (finalType.substSubModules modules);
        typeMerge = _: null;
        functor = defaultFunctor "coercedTo";
        nestedTypes = { inherit coercedType finalType; };
      };

  addCheck =
    type: check:
    if type.merge ? v2 then
      type
      // {
        check = checking (x: type.check x && check x);
        merge = merging2 (
          { loc, defs }:
          let
            merged = judged loc type defs;
          in
          merged
          // {
            headError = if merged.headError != null then merged.headError else headError check defs;
          }
        ) (removeAttrs type.merge [ "__functor" "v2" ]);
      }
    else
      type // { check = x: type.check x && check x; };
}
