# From modules as people write them (paths, functions, attribute sets, wrapped or not) to nodes
# { key, name, file, options, config, children }, each once, with all they import.
{ basics, show }:
let
  inherit (basics)
    any
    attrNames
    concatMap
    concatMapStringsSep
    elem
    filter
    imap1
    isAttrs
    isFunctionLike
    isList
    isPath
    isString
    isStringLike
    map
    substring
    ;

  # Attributes that say something about a module besides its options and values.
  about = {
    _class = null;
    _file = null;
    disabledModules = null;
    freeformType = null;
    imports = null;
    key = null;
    require = null;
  };
  aboutNames = attrNames about;
  fullNames = attrNames (
    removeAttrs about [ "require" ]
    // {
      config = null;
      meta = null;
      options = null;
    }
  );

  # Keys tell modules apart, and must cost nothing: the text of a path in a flake is its place in the
  # store, which is the hash of the whole flake. So a path stays a path, and a list that begins with
  # a number keeps the kinds of keys comparable. Their text is made only for who asks for it.
  keyOfFile =
    module:
    if isPath module then
      [
        0
        module
      ]
    else if isString module && substring 0 1 module == "/" && !builtins.hasContext module then
      [
        0
        (/. + module)
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
  textOfKey =
    key:
    let
      kind = builtins.elemAt key 0;
    in
    if kind == 1 then
      let
        parent = builtins.elemAt key 1;
      in
      "${if parent == [ ] then "" else textOfKey parent}:anon-${toString (builtins.elemAt key 2)}"
    else
      toString (builtins.elemAt key 1);

  notAModule =
    kind: file: prefix:
    throw "Expected a module, but found a value of type \"${kind}\"${
      if file == show.unknownFile then "" else ", while trying to load a module into ${toString file}"
    }${
      if prefix == [ ] then "" else ", while trying to load a module into ${show.showOption prefix}"
    }.${
      if kind == "configuration" then
        "\nA configuration holds more than its modules: please only import the modules that make up the configuration."
      else if kind == "flake" then
        "\nPerhaps an attribute name is missing after the name of the flake, such as `.nixosModules.default'."
      else
        ""
    }";

  # What `disabledModules` of a module names, as the text of a key.
  disabledKey =
    modulesPath: file: item:
    if isString item then
      if substring 0 1 item == "/" then item else "${toString modulesPath}/${item}"
    else if isStringLike item || builtins.isInt item || builtins.isFloat item then
      if item ? key && toString item.key != toString item then
        throw "The module `${file}' has an item in `disabledModules' whose text is `${toString item}' and whose key is `${item.key}': which of the two is meant?"
      else
        toString item
    else if item ? key then
      toString item.key
    else if isAttrs item then
      throw "Module `${file}' contains a disabledModules item that is an attribute set, presumably a module, that does not have a `key' attribute: give it one, or name the module by its path."
    else
      throw "Each item of `disabledModules' is a path, a string or a set with `key', but one in `${file}' is ${show.article item}.";
in
{
  class,
  call,
  modulesPath,
  prefix,
}:
let
  load =
    file: key: module:
    if isFunctionLike module then
      node file key (call file module)
    else if isAttrs module then
      let
        kind = module._type or "module";
      in
      if kind == "module" || kind == "if" || kind == "override" then
        node file key module
      else
        notAModule kind file prefix
    else if isList module then
      throw "A module in `${toString file}' is a list: put it in `imports', or take its modules out of the brackets."
    else if isPath module || isStringLike module then
      let
        imported = import module;
      in
      node module (keyOfFile module) (if isFunctionLike imported then call module imported else imported)
    else
      throw "The module in `${toString file}' is ${show.article module}, not an attribute set.";

  node =
    outerFile: outerKey: module:
    let
      file = toString (module._file or outerFile);
      key = if module ? key then keyOfText (toString module.key) else outerKey;
      ofClass = module._class or null;
      body =
        if !isAttrs module then
          throw "The module in `${file}' is ${show.article module}, not an attribute set."
        else if module ? _type && module._type != "module" then
          # A whole module under mkIf, or what a function gives under mkMerge, holds values only.
          {
            imports = [ ];
            options = { };
            config = module;
          }
        else if module ? config || module ? options then
          let
            stray = attrNames (removeAttrs module (if module ? _type then fullNames ++ [ "_type" ] else fullNames));
          in
          if stray != [ ] then
            throw "The module in `${file}' has ${
              concatMapStringsSep ", " (name: "`${name}'") stray
            } beside `config' or `options': put values into `config', or leave out both words."
          else
            {
              imports = module.imports or [ ];
              options = module.options or { };
              config =
                if module ? meta then both (module.config or { }) { inherit (module) meta; } else module.config or { };
            }
        else
          {
            imports =
              if module ? require then module.require ++ module.imports or [ ] else module.imports or [ ];
            options = { };
            config = removeAttrs module aboutNames;
          };
    in
    if class != null && ofClass != null && ofClass != class then
      throw "The module `${file}' (class: \"${ofClass}\") cannot be imported into a module evaluation that expects class \"${class}\": is it the right module, and is its `_class' right?"
    else
      {
        inherit file key;
        named = module ? key;
        inherit (body) options;
        disabled = module.disabledModules or [ ];
        config =
          if module ? freeformType then
            both body.config { _module = { inherit (module) freeformType; }; }
          else
            body.config;
        children = imap1 (n: load file (keyOfChild key n)) body.imports;
      };

  both = a: b: {
    _type = "merge";
    contents = [
      a
      b
    ];
  };

  closure =
    keep: roots:
    builtins.genericClosure {
      startSet = filter keep roots;
      operator = node: filter keep node.children;
    };
  # Of modules that share a key only the first counts, but each has a word in what is disabled.
  every = concatMap (node: [ node ] ++ every node.children);
  disabledKeys =
    roots: nodes:
    concatMap (node: map (disabledKey modulesPath node.file) node.disabled) (
      if any (node: node.named) nodes then every roots else nodes
    );
in
{
  roots = imap1 (n: load show.unknownFile (keyOfChild [ ] n));

  # Breadth first: all roots, then what they import, those disabled by any of them left out.
  close =
    roots:
    let
      nodes = closure (_: true) roots;
      disabled = disabledKeys roots nodes;
    in
    if disabled == [ ] then
      nodes
    else
      closure (node: !elem (textOfKey node.key) disabled) roots;

  # What imports what, for a person to look at.
  graph =
    roots:
    let
      disabled = disabledKeys roots (closure (_: true) roots);
      describe =
        node:
        let
          key = textOfKey node.key;
        in
        {
          inherit key;
          inherit (node) file;
          disabled = elem key disabled;
          imports = map describe node.children;
        };
    in
    map describe roots;
}
