# What modules declare, apart from any definition, so that the instances of a submodule share it.
{
  basics,
  show,
  options,
  types,
  submoduleWith,
}:
let
  inherit (basics)
    all
    any
    attrNames
    concatMap
    concatStringsSep
    filter
    foldl'
    head
    isAttrs
    length
    map
    mapAttrs
    sort
    zipAttrsWith
    ;
  inherit (options.public) isOption mkOption;
  inherit (show) showFiles showOption;

  # Everything that one option's declarations say together. The first one that says something
  # about the option is followed; types are joined; and options of submodules know their file.
  mergeOptionDecls =
    loc: decls:
    foldl'
      (
        sofar: decl:
        let
          inherit (decl) _file options;
          type = sofar.type.typeMerge options.type.functor;
          clash =
            any (name: options ? ${name} && sofar ? ${name}) [
              "default"
              "example"
              "description"
              "apply"
            ]
            || (options ? type && sofar ? type && type == null);
          inner = options.type.getSubModules or null;
        in
        if clash then
          throw "The option `${showOption loc}' in `${_file}' is already declared in ${showFiles sofar.declarations}."
        else
          options
          // sofar
          // {
            declarations = sofar.declarations ++ [ _file ];
            declarationPositions = sofar.declarationPositions ++ [
              (
                if decl.pos != null then
                  decl.pos
                else
                  {
                    file = _file;
                    line = null;
                    column = null;
                  }
              )
            ];
            options = if inner == null then sofar.options else map (located _file) inner ++ sofar.options;
          }
          // (if options ? type && sofar ? type then { inherit type; } else { })
      )
      {
        inherit loc;
        declarations = [ ];
        declarationPositions = [ ];
        options = [ ];
      }
      decls;

  located = file: module: {
    _file = file;
    imports = [ module ];
  };

  # The option with its final type: that of all its modules together.
  fixupOptionType =
    loc: option:
    if (option.type.getSubModules or null) == null then
      option // { type = option.type or types.unspecified; }
    else
      option
      // {
        type = option.type.substSubModules option.options;
        options = [ ];
      };

  finish =
    loc: decls:
    let
      option = fixupOptionType loc (mergeOptionDecls loc decls);
      warning = option.type.deprecationMessage or null;
    in
    if warning == null then
      option
    else
      builtins.trace
        "warning: The type `types.${option.type.name}' of option `${showOption loc}' defined in ${showFiles option.declarations} is deprecated. ${warning}"
        option;

  # A set of options beside an option that is a submodule: more options for the submodule.
  asSubmodule =
    decl:
    if isOption decl.options then
      decl
    else
      decl
      // {
        options = mkOption {
          type = submoduleWith {
            modules = [ { inherit (decl) options; } ];
            shorthandOnlyDefinesConfig = null;
          };
        };
      };

  isLeaf =
    loc: decl:
    decl.options ? _type
    && (
      decl.options._type == "option"
      || throw "In module ${decl._file}: expected an option declaration at option path `${showOption loc}' but got an attribute set with type ${toString decl.options._type}${
        if decl.options._type == "option-type" then
          ": put it into `lib.mkOption { type = …; }'."
        else
          "."
      }"
    );

  parentOfOptions =
    loc: leaves: others:
    throw "The option `${showOption loc}' in module `${(head leaves)._file}' would be a parent of the following options, but its type `${
      (head leaves).options.type.description or "<no description>"
    }' does not support nested options.\n${
      concatStringsSep "\n" (
        sort (a: b: a < b) (
          concatMap (
            decl:
            map (name: " - option(s) with prefix `${showOption (loc ++ [ name ])}' in module `${decl._file}'") (
              attrNames decl.options
            )
          ) others
        )
      )
    }";

  # Whether the default is the same wherever the option is: it can be merged once for all.
  # That much is known without a look at the default itself.
  isPlaceless = option: option ? default && (option.type.merge.placeless or (_: false)) 6;
  sharable =
    option:
    isPlaceless option
    || option ? default
    && option.type.merge.placelessEmpty or false
    && (option.default == null || option.default == { } || option.default == [ ]);

  declare =
    optionValue: loc: decls:
    let
      parts = mapAttrs (name: describe (loc ++ [ name ])) (
        zipAttrsWith (_: all: all) (
          map (
            decl:
            if !isAttrs decl.options then
              throw "In module `${decl._file}', the option declaration for `${showOption loc}' is ${show.article decl.options} rather than an attribute set. Did you mean to define this outside of `options'?"
            else
              mapAttrs (name: options: {
                inherit (decl) _file;
                inherit options;
                pos = builtins.unsafeGetAttrPos name decl.options;
              }) decl.options
          ) decls
        )
      );
      describe =
        loc: here:
        let
          leaves = filter (isLeaf loc) here;
        in
        if leaves == [ ] then
          let
            set = declare optionValue loc here;
          in
          {
            inherit set;
            inherit (set) sharable;
            shared = {
              use = true;
              value = set.shared;
            };
          }
        else
          let
            at =
              loc:
              if length leaves == length here then
                finish loc here
              else if all (decl: (decl.options.type.name or null) == "submodule") leaves then
                finish loc (map asSubmodule here)
              else
                parentOfOptions loc leaves (filter (decl: !isOption decl.options) here);
            sound = builtins.tryEval (at loc);
            # Where the default is wrong, each place says so by itself and in its own name.
            attempt = builtins.tryEval (optionValue loc sound.value [ ]);
          in
          {
            inherit sound;
            finish = at;
            sharable = sound.success && isPlaceless sound.value;
            shared = {
              use = sound.success && sharable sound.value && attempt.success;
              value = if attempt.success then attempt.value else optionValue loc sound.value [ ];
            };
          };
    in
    {
      inherit parts;
      names = attrNames parts;
      # The values of a set that nothing is said about, where they are the same everywhere.
      sharable = all (name: parts.${name}.sharable) (attrNames parts);
      shared = mapAttrs (_: part: part.shared.value) parts;
    };
in
{
  inherit declare fixupOptionType mergeOptionDecls;
}
