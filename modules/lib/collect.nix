# From modules as people write them (paths, functions, attribute sets, wrapped or not) to nodes
# { key, file, options, config, children }, each once, with all they import.
{ basics, show }:
let
  inherit (basics)
    attrNames
    concatMap
    concatMapStringsSep
    elem
    filter
    imap1
    isAttrs
    isFunctionLike
    isList
    map
    ;

  # Attributes that say something about a module besides its options and values.
  about = {
    _class = null;
    _file = null;
    disabledModules = null;
    freeformType = null;
    imports = null;
    key = null;
    meta = null;
  };
  full = about // {
    config = null;
    options = null;
  };
  shorthand = attrNames (removeAttrs about [ "meta" ]);
in
call:
let
  # Keys tell modules apart, and must cost nothing: the text of a path in a flake is its place in the
  # store, which is the hash of the whole flake. So a path stays a path, and a list that begins with
  # a number keeps the kinds of keys comparable.
  keyOfFile =
    module:
    if builtins.isPath module then
      [
        0
        module
      ]
    else
      keyOfText (toString module);
  keyOfText = text: [
    2
    text
  ];
  keyOfChild = parent: n: [
    1
    parent
    n
  ];

  load =
    file: key: module:
    if isFunctionLike module then
      node file key (call file module)
    else if isAttrs module then
      node file key module
    else if isList module then
      throw "A module in `${file}' is a list: put it in `imports', or take its modules out of the brackets."
    else
      load (toString module) (keyOfFile module) (import module);

  node =
    outerFile: outerKey: module:
    let
      file = toString (module._file or outerFile);
      key = if module ? key then keyOfText (toString module.key) else outerKey;
      body =
        if !isAttrs module then
          throw "The module in `${file}' is ${show.article module}, not an attribute set."
        else if module ? _type then
          # A whole module under mkIf or mkMerge holds values only.
          {
            imports = [ ];
            options = { };
            config = module;
          }
        else if module ? config || module ? options then
          let
            stray = attrNames (removeAttrs module (attrNames full));
          in
          if stray != [ ] then
            throw "The module in `${file}' has ${
              concatMapStringsSep ", " (name: "`${name}'") stray
            } beside `config' or `options': put values into `config', or leave out both words."
          else
            {
              imports = module.imports or [ ];
              options = module.options or { };
              config = module.config or { };
            }
        else
          {
            imports = module.imports or [ ];
            options = { };
            config = removeAttrs module shorthand;
          };
    in
    {
      inherit file key;
      inherit (body) options;
      disabled = map keyOf (module.disabledModules or [ ]);
      config =
        if module ? freeformType then
          {
            _type = "merge";
            contents = [
              body.config
              { _module = { inherit (module) freeformType; }; }
            ];
          }
        else
          body.config;
      children = imap1 (n: load file (keyOfChild key n)) body.imports;
    };

  keyOf = module: if isAttrs module then keyOfText (toString module.key) else keyOfFile module;

  fromDefinition = def: if def ? module then load def.file def.key def.module else def;
in
modules: definitions:
let
  roots =
    imap1 (n: load "<unknown-file>" (keyOfChild [ ] n)) modules ++ map fromDefinition definitions;
  closure =
    keep:
    builtins.genericClosure {
      startSet = filter keep roots;
      operator = node: filter keep node.children;
    };
  nodes = closure (_: true);
  disabled = concatMap (node: node.disabled or [ ]) nodes;
in
if disabled == [ ] then nodes else closure (node: !elem node.key disabled)
