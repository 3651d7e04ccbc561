# The types of options.
{
  basics,
  show,
  properties,
  options,
  modules,
  tree,
  declarations,
}:
let
  # Two types of one kind merge when their functors say so: `binOp` joins what they are made of,
  # and `type` makes a type of it again.
  defaultTypeMerge =
    a: b:
    if a.name != b.name then
      null
    else if a.payload == null then
      a.type
    else
      let
        payload = a.binOp a.payload b.payload;
      in
      if payload == null then null else a.type payload;

  defaultFunctor = name: {
    inherit name;
    type = types.${name} or null;
    payload = null;
    binOp = _: _: null;
  };

  # A type checks one definition by itself (`check`), then merges all that count (`merge`).
  # Instead, `merge.v2` may do both at once and say what it found (`headError`, `valueMeta`).
  #
  # `merge` may say more about itself, which makes evaluation faster and changes nothing:
  # `single`: one definition is its own value; `placeless`: the value does not depend on where the
  # option is (a function of how many types deep one may look: types can hold themselves);
  # `placelessEmpty`: nor does that of an empty set, an empty list or null.
  mkOptionType =
    {
      name,
      description ? null,
      descriptionClass ? null,
      check ? (_: true),
      merge ? options.mergeDefaultOption,
      emptyValue ? { },
      getSubOptions ? _: { },
      getSubModules ? null,
      substSubModules ? _: null,
      functor ? defaultFunctor name,
      typeMerge ? defaultTypeMerge functor,
      deprecationMessage ? null,
      nestedTypes ? { },
    }:
    {
      _type = "option-type";
      description = if description == null then name else description;
      inherit
        name
        descriptionClass
        check
        merge
        emptyValue
        getSubOptions
        getSubModules
        substSubModules
        typeMerge
        functor
        deprecationMessage
        nestedTypes
        ;
    };

  # The words for a type inside those for another, in brackets where they could be misread.
  phrase =
    classes: type:
    if builtins.elem (type.descriptionClass or null) classes then
      type.description
    else
      "(${type.description})";

  # The functor of a type that wraps one other.
  wrapping = name: make: elemType: {
    inherit name;
    type = payload: make payload.elemType;
    payload = { inherit elemType; };
    binOp =
      a: b:
      let
        both = a.elemType.typeMerge b.elemType.functor;
      in
      if both == null then null else { elemType = both; };
  };

  # A check that `addCheck` and `merge.v2` agree on.
  checking = check: {
    __functor = _: check;
    isV2MergeCoherent = true;
  };

  # A merge function that is called in the old way too.
  merging2 =
    v2: more:
    {
      __functor = self: loc: defs: (self.v2 { inherit loc defs; }).value;
      inherit v2;
    }
    // more;

  # Whether a type is free of its place because those that it is made of are.
  placelessAs = parts: depth: depth > 0 && basics.all (type: (type.merge.placeless or (_: false)) (depth - 1)) parts;

  args = {
    inherit
      basics
      show
      properties
      options
      modules
      tree
      declarations
      types
      mkOptionType
      defaultFunctor
      phrase
      wrapping
      checking
      merging2
      placelessAs
      ;
  };

  types =
    import ./primitive.nix args
    // import ./strings.nix args
    // import ./numbers.nix args
    // import ./collections.nix args
    // import ./unions.nix args
    // import ./anything.nix args
    // import ./submodule.nix args
    // rec {
      inherit
        mkOptionType
        defaultFunctor
        defaultTypeMerge
        types
        ;
      optionDescriptionPhrase =
        fits: type:
        if fits (type.descriptionClass or null) then type.description else "(${type.description})";
      isType = kind: x: (x._type or "") == kind;
      setType = kind: x: x // { _type = kind; };
      isOptionType = isType "option-type";
      mergeTypes =
        a: b:
        let
          both = a.typeMerge b.functor;
        in
        if both == null then
          {
            _type = "merge-error";
            error = "Cannot merge types";
          }
        else
          both;
    };
in
types
