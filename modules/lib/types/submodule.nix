# A type that is a set of options of its own.
{
  basics,
  modules,
  mkOptionType,
  ...
}:
let
  inherit (basics)
    imap1
    isAttrs
    isFunctionLike
    isPath
    last
    toList
    ;
  inherit (modules) evaluate prepare;

  submoduleWith =
    {
      modules,
      specialArgs ? { },
      shorthandOnlyDefinesConfig ? false,
      description ? "submodule",
    }@args:
    let
      prepared = prepare [ "<name>" ] modules;
      instance =
        prefix: name: definitions:
        evaluate {
          inherit
            modules
            specialArgs
            prefix
            definitions
            prepared
            ;
          instanceArgs = { inherit name; };
        };
      # A definition is a module, or only values; values need no look for `imports`.
      asNode =
        n: def:
        if shorthandOnlyDefinesConfig && isAttrs def.value then
          {
            inherit (def) file;
            key = [
              3
              n
            ];
            options = { };
            config = def.value;
            children = [ ];
          }
        else
          {
            inherit (def) file;
            key = [
              3
              n
            ];
            module = def.value;
          };
    in
    mkOptionType {
      name = "submodule";
      inherit description;
      check = x: isAttrs x || isFunctionLike x || isPath x;
      emptyValue.value = { };
      getSubOptions = prefix: (instance prefix "<name>" [ ]).options;
      merge = loc: defs: (instance loc (last loc) (imap1 asNode defs)).config;
      # An option that is declared twice, each time as a submodule, has the options of both.
      typeMerge =
        other:
        if other ? submoduleArgs then
          submoduleWith (
            args
            // {
              modules = modules ++ other.submoduleArgs.modules;
              specialArgs = specialArgs // other.submoduleArgs.specialArgs or { };
            }
          )
        else
          null;
      submoduleArgs = args;
    };
in
{
  inherit submoduleWith;
  submodule =
    module:
    submoduleWith {
      shorthandOnlyDefinesConfig = true;
      modules = toList module;
    };
}
