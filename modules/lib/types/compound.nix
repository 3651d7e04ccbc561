# Types made of other types.
{
  basics,
  show,
  properties,
  options,
  mkOptionType,
  types,
  ...
}:
let
  inherit (basics)
    all
    any
    concatLists
    concatMap
    filter
    filterAttrs
    foldl'
    head
    imap1
    isAttrs
    isFunctionLike
    isList
    map
    mapAttrs
    tail
    zipAttrsWith
    ;
  inherit (options) mergeDefinitions;
  inherit (options.public) mergeOneOption;

  # Two wrappers of the same kind merge as their elements do.
  wrap =
    make: elemType: attrs:
    mkOptionType (
      attrs
      // {
        nestedTypes = { inherit elemType; };
        typeMerge =
          other:
          let
            both = elemType.typeMerge other.nestedTypes.elemType;
          in
          if other.name == attrs.name && both != null then make both else null;
        getSubOptions = attrs.getSubOptions or elemType.getSubOptions;
      }
    );

  elements =
    elemType: loc: defs:
    mapAttrs (name: mergeDefinitions (loc ++ [ name ]) elemType) (
      zipAttrsWith (_: values: values) (
        concatMap (
          def:
          map (mapAttrs (
            _: value: {
              inherit (def) file;
              inherit value;
            }
          )) (properties.pushDown def.value)
        ) defs
      )
    );

  describe = type: if builtins.match ".* or .*" type.description != null then "(${type.description})" else type.description;
in
rec {
  listOf =
    elemType:
    wrap listOf elemType {
      name = "listOf";
      description = "list of ${describe elemType}";
      check = isList;
      emptyValue.value = [ ];
      getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "*" ]);
      merge =
        loc: defs:
        map (element: element.value) (
          filter (element: element.isDefined) (
            concatLists (
              imap1 (
                n: def:
                imap1 (
                  m: value:
                  mergeDefinitions (loc ++ [ "[definition ${toString n}-entry ${toString m}]" ]) elemType [
                    {
                      inherit (def) file;
                      inherit value;
                    }
                  ]
                ) def.value
              ) defs
            )
          )
        );
    };
  nonEmptyListOf =
    elemType:
    let
      list = listOf elemType;
    in
    list
    // {
      description = "non-empty ${list.description}";
      check = x: isList x && x != [ ];
      emptyValue = { };
    };

  attrsOf =
    elemType:
    wrap attrsOf elemType {
      name = "attrsOf";
      description = "attribute set of ${describe elemType}";
      check = isAttrs;
      emptyValue.value = { };
      getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "<name>" ]);
      merge =
        loc: defs:
        mapAttrs (_: element: element.value) (
          filterAttrs (_: element: element.isDefined) (elements elemType loc defs)
        );
    };
  # Names without a value stay: knowing the names needs no condition, at the price of an error
  # (or the type's empty value) where one of them is looked at.
  lazyAttrsOf =
    elemType:
    wrap lazyAttrsOf elemType {
      name = "lazyAttrsOf";
      description = "lazy attribute set of ${describe elemType}";
      check = isAttrs;
      emptyValue.value = { };
      getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "<name>" ]);
      merge =
        loc: defs:
        mapAttrs (
          _: element:
          if element.isDefined then element.value else elemType.emptyValue.value or element.value
        ) (elements elemType loc defs);
    };

  nullOr =
    elemType:
    wrap nullOr elemType {
      name = "nullOr";
      description = "null or ${describe elemType}";
      check = x: x == null || elemType.check x;
      emptyValue.value = null;
      merge =
        loc: defs:
        if all (def: def.value == null) defs then
          null
        else if any (def: def.value == null) defs then
          throw "The option `${show.showOption loc}' is defined both null and not null, in ${
            show.showFiles (map (def: def.file) defs)
          }."
        else
          elemType.merge loc defs;
    };

  uniq = elemType: elemType // { merge = mergeOneOption; };

  either =
    left: right:
    mkOptionType {
      name = "either";
      description = "${describe left} or ${right.description}";
      check = x: left.check x || right.check x;
      nestedTypes = { inherit left right; };
      merge =
        loc: defs:
        if all (def: left.check def.value) defs then
          left.merge loc defs
        else if all (def: right.check def.value) defs then
          right.merge loc defs
        else
          mergeOneOption loc defs;
      typeMerge =
        other:
        let
          l = left.typeMerge other.nestedTypes.left;
          r = right.typeMerge other.nestedTypes.right;
        in
        if other.name == "either" && l != null && r != null then either l r else null;
    };
  oneOf = alternatives: foldl' either (head alternatives) (tail alternatives);

  coercedTo =
    from: convert: to:
    mkOptionType {
      name = "coercedTo";
      description = "${describe to} or ${describe from} convertible to it";
      check = x: to.check x || (from.check x && to.check (convert x));
      inherit (to) getSubOptions;
      emptyValue = to.emptyValue or { };
      merge =
        loc: defs:
        to.merge loc (
          map (
            def: def // { value = if from.check def.value then convert def.value else def.value; }
          ) defs
        );
    };

  addCheck = type: check: type // { check = x: type.check x && check x; };

  functionTo =
    result:
    mkOptionType {
      name = "functionTo";
      description = "function that evaluates to a(n) ${result.description}";
      check = isFunctionLike;
      merge =
        loc: defs: input:
        (mergeDefinitions (loc ++ [ "<function body>" ]) result (
          map (def: {
            inherit (def) file;
            value = def.value input;
          }) defs
        )).value;
    };
}
