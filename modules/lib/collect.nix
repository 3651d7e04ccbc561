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
  load =
    file: key: module:
    if isFunctionLike module then
      node file key (call key module)
    else if isAttrs module then
      node file key module
    else if isList module then
      throw "A module in `${file}' is a list: put it in `imports', or take its modules out of the brackets."
    else
      load (toString module) (toString module) (import module);

  node =
    outerFile: outerKey: module:
    let
      file = toString (module._file or outerFile);
      key = toString (module.key or outerKey);
      body =
        if !isAttrs module then
          throw "The module `${key}' is ${show.article module}, not an attribute set."
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
            throw "The module `${key}' has ${
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
      children = imap1 (n: load file "${key}:anon-${toString n}") body.imports;
    };

  keyOf = module: toString (if isAttrs module then module.key else module);

  fromDefinition = def: if def ? module then load def.file def.key def.module else def;
in
modules: definitions:
let
  roots =
    imap1 (n: load "<unknown-file>" ":anon-${toString n}") modules ++ map fromDefinition definitions;
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
