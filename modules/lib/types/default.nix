# The types of options.
{
  basics,
  show,
  properties,
  options,
  modules,
}:
let
  # A type checks one definition by itself (`check`), then merges all that count (`merge`).
  # `typeMerge` joins two declarations of one option: the joined type, or null when they differ.
  mkOptionType =
    {
      name,
      description ? name,
      check ? (_: true),
      merge ? options.public.mergeOneOption,
      ...
    }@attrs:
    let
      self = {
        _type = "option-type";
        # Same name and same words: as alike as two types without parameters can be.
        typeMerge =
          other: if other.name == name && other.description == description then self else null;
        getSubOptions = _: { };
      }
      // attrs
      // {
        inherit
          name
          description
          check
          merge
          ;
      };
    in
    self;

  args = {
    inherit
      basics
      show
      properties
      options
      modules
      mkOptionType
      types
      ;
  };

  types =
    import ./primitive.nix args
    // import ./compound.nix args
    // import ./submodule.nix args
    // {
      inherit mkOptionType;
    };
in
types
