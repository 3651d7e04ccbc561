# Attribute sets.
{ lib }:
let
  inherit (builtins)
    attrNames
    concatMap
    elemAt
    filter
    foldl'
    head
    isAttrs
    length
    listToAttrs
    map
    mapAttrs
    tail
    zipAttrsWith
    ;
in
rec {
  attrByPath =
    path: default: set:
    let
      n = length path;
      go =
        i: here:
        if i == n then
          here
        else if here ? ${elemAt path i} then
          go (i + 1) here.${elemAt path i}
        else
          default;
    in
    go 0 set;
  hasAttrByPath =
    path: set:
    let
      n = length path;
      go = i: here: i == n || here ? ${elemAt path i} && go (i + 1) here.${elemAt path i};
    in
    go 0 set;
  getAttrFromPath =
    path:
    attrByPath path (
      throw "cannot find attribute '${builtins.concatStringsSep "." path}'"
    );
  longestValidPathPrefix =
    path: set:
    let
      n = length path;
      go = i: here: if i == n || !(here ? ${elemAt path i}) then i else go (i + 1) here.${elemAt path i};
    in
    lib.take (go 0 set) path;
  showAttrPath = path: if path == [ ] then "<root attribute path>" else lib.concatMapStringsSep "." lib.escapeNixIdentifier path;
  attrVals = names: set: map (name: set.${name}) names;
  getAttrs = names: set: lib.genAttrs names (name: set.${name});
  catAttrs = builtins.catAttrs;
  filterAttrsRecursive =
    keep: set:
    listToAttrs (
      concatMap (
        name:
        let
          value = set.${name};
        in
        if !keep name value then
          [ ]
        else
          [
            {
              inherit name;
              value = if isAttrs value then filterAttrsRecursive keep value else value;
            }
          ]
      ) (attrNames set)
    );
  foldAttrs =
    op: nul: sets:
    mapAttrs (_: lib.foldr op nul) (zipAttrsWith (_: values: values) sets);
  foldlAttrs =
    f: init: set:
    foldl' (sofar: name: f sofar name set.${name}) init (attrNames set);
  collect =
    pred: set:
    if pred set then
      [ set ]
    else if isAttrs set then
      concatMap (collect pred) (builtins.attrValues set)
    else
      [ ];
  cartesianProduct =
    sets:
    foldl' (
      sofar: name: concatMap (set: map (value: set // { ${name} = value; }) sets.${name}) sofar
    ) [ { } ] (attrNames sets);
  mapCartesianProduct = f: sets: map f (cartesianProduct sets);
  attrsToList = lib.mapAttrsToList (name: value: { inherit name value; });
  mapAttrsRecursiveCond =
    cond: f: set:
    let
      go =
        path:
        mapAttrs (
          name: value:
          if isAttrs value && cond value then go (path ++ [ name ]) value else f (path ++ [ name ]) value
        );
    in
    go [ ] set;
  mapAttrsRecursive = mapAttrsRecursiveCond (_: true);
  mapAttrsToListRecursiveCond =
    cond: f: set:
    let
      go =
        path: here:
        concatMap (
          name:
          let
            path' = path ++ [ name ];
            value = here.${name};
          in
          if isAttrs value && cond path' value then go path' value else [ (f path' value) ]
        ) (attrNames here);
    in
    go [ ] set;
  mapAttrsToListRecursive = mapAttrsToListRecursiveCond (_: _: true);
  genAttrs' = xs: f: listToAttrs (map f xs);
  zipAttrsWithNames =
    names: f: sets:
    lib.genAttrs names (name: f name (builtins.catAttrs name sets));
  zipAttrs = zipAttrsWith (_: values: values);
  mergeAttrsList = foldl' (a: b: a // b) { };
  mergeAttrs = a: b: a // b;
  concatAttrValues = set: builtins.concatLists (builtins.attrValues set);
  recursiveUpdateUntil =
    stop: old: new:
    let
      go =
        path:
        zipAttrsWith (
          name: values:
          let
            here = path ++ [ name ];
          in
          if length values == 1 || stop here (elemAt values 1) (head values) then
            head values
          else
            go here values
        );
    in
    go [ ] [
      new
      old
    ];
  matchAttrs =
    pattern: set:
    builtins.all (
      name:
      set ? ${name}
      && (
        if isAttrs pattern.${name} then
          isAttrs set.${name} && matchAttrs pattern.${name} set.${name}
        else
          pattern.${name} == set.${name}
      )
    ) (attrNames pattern);
  overrideExisting = old: new: mapAttrs (name: value: new.${name} or value) old;
  updateManyAttrsByPath =
    updates: set:
    foldl' (
      sofar: one:
      let
        go =
          path: has: here:
          if path == [ ] then
            one.update (if has then here else throw "updateManyAttrsByPath: '${lib.showAttrPath one.path}' does not exist in the given value, but the first update to this path accesses the existing value")
          else
            (if has && isAttrs here then here else { })
            // {
              ${head path} = go (tail path) (has && here ? ${head path}) (here.${head path} or null);
            };
      in
      go one.path true sofar
    ) set updates;
  intersectAttrs = builtins.intersectAttrs;
  unionOfDisjoint =
    a: b:
    let
      common = builtins.intersectAttrs a b;
    in
    mapAttrs (name: _: throw "unionOfDisjoint: collision on ${name}; complete list: ${builtins.concatStringsSep " " (attrNames common)}") common
    // removeAttrs a (attrNames common)
    // removeAttrs b (attrNames common);
  recurseIntoAttrs = set: set // { recurseForDerivations = true; };
  dontRecurseIntoAttrs = set: set // { recurseForDerivations = false; };

  # Parts of packages.
  getOutput =
    output: pkg:
    if !(pkg ? outputSpecified) || !pkg.outputSpecified then
      pkg.${output} or pkg.out or pkg
    else
      pkg;
  getFirstOutput =
    outputs: pkg:
    let
      found = filter (output: pkg ? ${output}) outputs;
    in
    if pkg.outputSpecified or false || found == [ ] then pkg else pkg.${head found};
  getBin = getOutput "bin";
  getLib = getOutput "lib";
  getDev = getFirstOutput [ "dev" ];
  getMan = getOutput "man";
  chooseDevOutputs = map getDev;
  getExe' = pkg: name: "${getBin pkg}/bin/${name}";
  getExe =
    pkg:
    getExe' pkg (pkg.meta.mainProgram or (lib.getName pkg));
}
