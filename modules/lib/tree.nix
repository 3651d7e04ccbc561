# The tree of options: what modules declare, and the value that definitions make of each.
{
  basics,
  show,
  properties,
  options,
  types,
}:
let
  inherit (basics)
    attrNames
    concatMap
    concatMapStringsSep
    filter
    foldl'
    head
    isAttrs
    length
    map
    mapAttrs
    tail
    withContext
    zipAttrsWith
    ;
  inherit (options.public) isOption;
  inherit (properties.public) mkOptionDefault;
  inherit (show) showDefs showOption;

  group = zipAttrsWith (_: parts: parts);

  # The option tree that modules declare. It depends on no definition, so that the instances of
  # a submodule can share it.
  declare =
    loc: decls:
    mapAttrs
      (
        name: here:
        let
          loc' = loc ++ [ name ];
          leaves = filter (decl: isOption decl.options) here;
          option = foldl' (joinDeclarations loc') (head here) (tail here);
        in
        if leaves == [ ] then
          { set = declare loc' here; }
        else if length leaves == length here then
          {
            inherit (option) options;
            type = option.options.type or types.unspecified;
            files = map (decl: decl.file) here;
            defaults =
              if option.options ? default then
                [
                  {
                    inherit (option) file;
                    value = mkOptionDefault option.options.default;
                  }
                ]
              else
                [ ];
          }
        else
          throw "`${showOption loc'}' is declared both as an option and as a set of options, in ${
            show.showFiles (map (decl: decl.file) here)
          }."
      )
      (
        group (
          map (
            decl:
            mapAttrs (_: options: {
              inherit (decl) file;
              inherit options;
            }) decl.options
          ) decls
        )
      );

  joinDeclarations =
    loc: a: b:
    let
      twice = filter (name: a.options ? ${name} && b.options ? ${name}) [
        "default"
        "example"
        "description"
        "apply"
      ];
      type =
        if !(a.options ? type && b.options ? type) then
          a.options.type or b.options.type or types.unspecified
        else
          a.options.type.typeMerge b.options.type;
    in
    if twice != [ ] || type == null then
      throw "The option `${showOption loc}' in `${b.file}' is already declared in `${a.file}'."
    else
      {
        inherit (a) file;
        options = a.options // b.options // { inherit type; };
      };

  # One level of the tree with its values. `unmatched` are the definitions that no option takes.
  mergeTree =
    loc: declared: defs:
    let
      defined = group (
        concatMap (
          def:
          map (
            values:
            if isAttrs values then
              mapAttrs (_: value: {
                inherit (def) file;
                inherit value;
              }) values
            else
              notASet loc declared def.file values
          ) (properties.pushDown def.config)
        ) defs
      );
      parts = mapAttrs (
        name: part:
        let
          loc' = loc ++ [ name ];
          mine = defined.${name} or [ ];
        in
        if part ? set then
          mergeTree loc' part.set (
            map (def: {
              inherit (def) file;
              config = def.value;
            }) mine
          )
        else
          evalOption loc' part mine
      ) declared;
      strangers = removeAttrs defined (attrNames declared);
    in
    {
      inherit defined;
      options = mapAttrs (_: part: part.options) parts;
      config = mapAttrs (_: part: part.config) parts;
      unmatched =
        map (name: {
          prefix = loc;
          inherit name;
          defs = strangers.${name};
          known = attrNames declared;
        }) (attrNames strangers)
        # What is not defined holds no strangers.
        ++ concatMap (name: if declared.${name} ? set then parts.${name}.unmatched else [ ]) (
          attrNames (builtins.intersectAttrs defined declared)
        );
    };

  notASet =
    loc: declared: file: value:
    throw "`${showOption loc}' is a set of options, but it is given ${show.article value}:${
      showDefs [ { inherit file value; } ]
    }\nDid you mean one of ${
      concatMapStringsSep ", " (name: "`${showOption (loc ++ [ name ])}'") (attrNames declared)
    }?";

  evalOption =
    loc: part: defs:
    let
      opt = part.options;
      all = if part.defaults == [ ] then defs else part.defaults ++ defs;
      merged = options.mergeDefinitions loc part.type all;
      checked =
        if opt.readOnly or false && length all > 1 then
          throw "The option `${showOption loc}' is read-only, but it's set multiple times. Definition values:${showDefs merged.live}"
        else
          merged.value;
      value = withContext "while evaluating the option `${showOption loc}':" (
        if opt ? apply then opt.apply checked else checked
      );
    in
    {
      config = value;
      options = opt // {
        inherit loc value;
        inherit (part) type;
        inherit (merged) isDefined;
        declarations = part.files;
        definitions = map (def: def.value) merged.live;
        definitionsWithLocations = map (def: {
          inherit (def) file value;
        }) merged.live;
        files = map (def: def.file) merged.live;
        highestPrio = (head merged.live).priority;
        __toString = _: showOption loc;
      };
    };
in
{
  inherit declare mergeTree;
}
