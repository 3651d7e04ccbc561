# What checks/nightly/corpora asks of a tree of packages: for each of PATHS below FROM, what it is.
{ from, paths }:
let
  inherit (builtins)
    attrNames deepSeq elemAt foldl' isAttrs isFunction isList isPath isString length map mapAttrs tryEval
    typeOf unsafeDiscardStringContext;

  try = value: let tried = tryEval (deepSeq value value); in if tried.success then tried.value else "failed";

  # Data as it is, as far down as it goes; functions and packages by what they are called.
  data = depth: value:
    if isFunction value then "a function"
    else if isString value then unsafeDiscardStringContext value
    else if isPath value then toString value
    else if depth > 6 then "…"
    else if isList value then map (one: try (data (depth + 1) one)) value
    else if isAttrs value then
      if value.type or null == "derivation" then value.name or "a package" else mapAttrs (_: one: try (data (depth + 1) one)) value
    else value;

  package = value: {
    drv = try (unsafeDiscardStringContext value.drvPath);
    out = try (map (output: unsafeDiscardStringContext value.${output}.outPath) (value.outputs or [ "out" ]));
    name = try (value.name or null);
    meta = try (data 0 (value.meta or null));
  };

  recurses = value: isAttrs value && (value.recurseForDerivations or false == true);

  what = depth: value:
    let kind = tryEval (if isAttrs value && value.type or null == "derivation" then "package" else if recurses value then "set" else typeOf value);
    in
    if !kind.success then "failed"
    else if kind.value == "package" then package value
    else if kind.value == "set" && depth < 4 then mapAttrs (_: what (depth + 1)) value
    else kind.value;

  at = path: foldl' (set: name: set.${name}) from path;
in
{
  what = map (path: what (length path) (at path)) paths;
  # The names in a set that is gone into, to find the one among them that cannot be evaluated.
  names = map (path: let value = at path; in if path == [ ] || (isAttrs value && !(value.type or null == "derivation") && recurses value) then attrNames value else null) paths;
}
