# Lists and sets of values of one type.
{
  basics,
  show,
  properties,
  options,
  mkOptionType,
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
    attrNames
    concatLists
    concatMap
    filter
    foldl'
    head
    imap1
    isAttrs
    isList
    length
    map
    mapAttrs
    sort
    zipAttrsWith
    ;
  inherit (options)
    headError
    mergeDefinitions
    noValue
    valueOf
    ;
  inherit (properties) resolve;
  inherit (properties.public)
    defaultOrderPriority
    defaultOverridePriority
    mkDefinition
    mkOrder
    mkOverride
    ;

  element = phrase [
    "noun"
    "composite"
  ];

  # A set or a list is as free of its place as its elements; an empty one always is.
  placeless = elemType: {
    placeless = placelessAs [ elemType ];
    placelessEmpty = true;
  };

  # Attributes with the definitions that each has.
  byName =
    defs:
    let
      located =
        def:
        mapAttrs (_: value: {
          inherit (def) file;
          inherit value;
        }) def.value;
    in
    if length defs == 1 then
      mapAttrs (_: def: [ def ]) (located (head defs))
    else
      zipAttrsWith (_: all: all) (map located defs);

  attrsWith =
    {
      elemType,
      lazy ? false,
      placeholder ? "name",
    }:
    let
      check = checking isAttrs;
    in
    mkOptionType {
      name = if lazy then "lazyAttrsOf" else "attrsOf";
      description = "${if lazy then "lazy attribute set" else "attribute set"} of ${element elemType}";
      descriptionClass = "composite";
      inherit check;
      merge = merging2 (
        { loc, defs }:
        let
          lives = mapAttrs (_: resolve) (byName defs);
          # Conditions decide which names there are, which is the price: all are looked at.
          absent = filter (name: lives.${name}.values == [ ]) (attrNames lives);
        in
        {
          headError = headError check defs;
          value =
            if lazy then
              # Names stay, whatever their conditions say: knowing them needs no condition.
              mapAttrs (
                name: live:
                if live.values != [ ] then
                  valueOf (loc ++ [ name ]) elemType live.values
                else
                  elemType.emptyValue.value or (noValue (loc ++ [ name ]))
              ) lives
            else
              mapAttrs (name: live: valueOf (loc ++ [ name ]) elemType live.values) (
                if absent == [ ] then lives else removeAttrs lives absent
              );
          valueMeta.attrs = mapAttrs (
            name: defs: (mergeDefinitions (loc ++ [ name ]) elemType defs).checkedAndMerged.valueMeta
          ) (if lazy then byName defs else removeAttrs (byName defs) absent);
        }
      ) (placeless elemType);
      emptyValue.value = { };
      getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "<${placeholder}>" ]);
      inherit (elemType) getSubModules;
      substSubModules =
        modules:
        attrsWith {
          elemType = elemType.substSubModules modules;
          inherit lazy placeholder;
        };
      functor = {
        name = "attrsWith";
        type = attrsWith;
        payload = { inherit elemType lazy placeholder; };
        binOp =
          a: b:
          let
            both = a.elemType.typeMerge b.elemType.functor;
            # The usual word gives way to another.
            word =
              if a.placeholder == "name" then
                b.placeholder
              else if b.placeholder == "name" || b.placeholder == a.placeholder then
                a.placeholder
              else
                null;
          in
          if both == null || a.lazy != b.lazy || word == null then
            null
          else
            {
              elemType = both;
              inherit (a) lazy;
              placeholder = word;
            };
      };
      nestedTypes = { inherit elemType; };
    };

  attrListWith =
    {
      elemType,
      asAttrs ? false,
      mergeAttrValues ? (_: values: values),
    }:
    let
      check = checking (x: isList x || isAttrs x);
      description = "attribute list of ${element elemType}";

      # A value with what its wrappers say; a priority stays on it, for the element to see.
      unwrap =
        value:
        let
          kind = value._type or null;
          inner = unwrap value.content;
        in
        if kind == "order" then
          {
            inherit (inner) value strength;
            prio = value.priority;
          }
        else if kind == "override" then
          {
            inherit (inner) prio;
            strength = value.priority;
            value = mkOverride value.priority inner.value;
          }
        else
          {
            inherit value;
            prio = defaultOrderPriority;
            strength = defaultOverridePriority;
          };

      fromElement =
        loc: file: raw:
        let
          ordered = (raw._type or null) == "order";
          item = if ordered then raw.content else raw;
          key = head (attrNames item);
          inner = unwrap item.${key};
          wrong =
            words:
            throw "A definition for option `${show.showOption loc}' is not of type `${description}'. Each list element must be ${words}.${
              show.showDefs [
                {
                  inherit file;
                  value = raw;
                }
              ]
            }";
        in
        if !isAttrs item then
          wrong "an attribute set, but got ${builtins.typeOf item}"
        else if length (attrNames item) != 1 then
          wrong "a single-key attribute set, but got ${toString (length (attrNames item))} keys"
        else
          inner
          // {
            inherit file key;
            prio = if ordered then raw.priority else inner.prio;
          };

      items =
        loc: def:
        if isList def.value then
          map (fromElement loc def.file) def.value
        else
          map (
            key:
            unwrap def.value.${key}
            // {
              inherit (def) file;
              inherit key;
            }
          ) (attrNames def.value);
    in
    mkOptionType {
      name = "attrListOf";
      inherit description check;
      descriptionClass = "composite";
      merge = merging2 (
        { loc, defs }:
        let
          all = concatMap (items loc) defs;
          strongest = foldl' (
            found: item:
            if item.strength < found.${item.key} or defaultOverridePriority then
              found // { ${item.key} = item.strength; }
            else
              found
          ) { } all;
          kept = sort (a: b: a.prio < b.prio) (
            filter (item: item.strength == strongest.${item.key} or defaultOverridePriority) all
          );
          merged = filter (item: item.merged.isDefined) (
            map (
              item:
              item
              // {
                merged = mergeDefinitions (loc ++ [ item.key ]) elemType [ { inherit (item) file value; } ];
              }
            ) kept
          );
          attrListValue = map (item: { ${item.key} = item.merged.mergedValue; }) merged;
        in
        {
          headError = headError check defs;
          value = if asAttrs then zipAttrsWith mergeAttrValues attrListValue else attrListValue;
          valueMeta = {
            attrList = map (item: item.merged.checkedAndMerged.valueMeta) merged;
            inherit attrListValue;
            definitions = map (
              item:
              mkDefinition {
                inherit (item) file;
                value = mkOrder item.prio { ${item.key} = item.merged.mergedValue; };
              }
            ) merged;
          };
        }
      ) { placelessEmpty = true; };
      emptyValue.value = if asAttrs then { } else [ ];
      getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "*" ]);
      inherit (elemType) getSubModules;
      substSubModules =
        modules:
        attrListWith {
          inherit asAttrs mergeAttrValues;
          elemType = elemType.substSubModules modules;
        };
      typeMerge = _: null;
      nestedTypes = { inherit elemType; };
    };
in
rec {
  inherit attrListWith attrsWith;

  attrsOf = elemType: attrsWith { inherit elemType; };
  lazyAttrsOf =
    elemType:
    attrsWith {
      inherit elemType;
      lazy = true;
    };
  attrListOf = elemType: attrListWith { inherit elemType; };
  loaOf =
    elemType:
    attrsOf elemType
    // {
      name = "loaOf";
      deprecationMessage = "Lists and sets cannot be mixed any more: use `types.attrsOf' instead.";
      nestedTypes = { inherit elemType; };
    };

  listOf =
    elemType:
    let
      check = checking isList;
      # Entries with the place of each. One that is under a false condition is none.
      entries =
        loc: defs:
        filter (entry: entry.live.values != [ ]) (
          concatLists (
            imap1 (
              n: def:
              imap1 (m: value: {
                loc = loc ++ [ "[definition ${toString n}-entry ${toString m}]" ];
                live = resolve [
                  {
                    inherit (def) file;
                    inherit value;
                  }
                ];
              }) def.value
            ) defs
          )
        );
    in
    mkOptionType {
      name = "listOf";
      description = "list of ${element elemType}";
      descriptionClass = "composite";
      inherit check;
      merge = merging2 (
        { loc, defs }:
        {
          headError = headError check defs;
          value = map (entry: valueOf entry.loc elemType entry.live.values) (entries loc defs);
          valueMeta.list = map (
            entry: (mergeDefinitions entry.loc elemType entry.live.values).checkedAndMerged.valueMeta
          ) (entries loc defs);
        }
      ) (placeless elemType);
      emptyValue.value = [ ];
      getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "*" ]);
      inherit (elemType) getSubModules;
      substSubModules = modules: listOf (elemType.substSubModules modules);
      functor = wrapping "listOf" listOf elemType;
      nestedTypes = { inherit elemType; };
    };
  nonEmptyListOf =
    elemType:
    let
      list = types.addCheck (listOf elemType) (list: list != [ ]);
    in
    list
    // {
      description = "non-empty ${phrase [ "noun" ] list}";
      emptyValue = { };
      substSubModules = modules: nonEmptyListOf (elemType.substSubModules modules);
    };
}
