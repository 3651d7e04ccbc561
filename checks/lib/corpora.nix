# What checks/nightly/corpora asks of a tree of packages: what lies at PATH below FROM. A package as
# data, the names in a set that is to be gone into, the type of anything else.
from: path:
let
  inherit (builtins) attrNames deepSeq foldl' isAttrs isFunction isList isPath isString map mapAttrs toString tryEval typeOf;
  plain = builtins.unsafeDiscardStringContext;

  try = value: let tried = tryEval (deepSeq value value); in if tried.success then tried.value else "failed";
  isPackage = value: isAttrs value && value.type or null == "derivation";

  # Data as it is, as far down as it goes; functions and packages by what they are called.
  data = depth: value:
    if isFunction value then "a function"
    else if isString value then plain value
    else if isPath value then toString value
    else if depth > 6 then "…"
    else if isList value then map (one: try (data (depth + 1) one)) value
    else if isPackage value then value.name or "a package"
    else if isAttrs value then mapAttrs (_: one: try (data (depth + 1) one)) value
    else value;

  package = value: {
    drv = try (plain value.drvPath);
    out = try (map (output: plain value.${output}.outPath) (value.outputs or [ "out" ]));
    name = try (value.name or null);
    meta = try (data 0 (value.meta or null));
  };

  value = foldl' (set: name: set.${name}) from path;
  kind = tryEval (typeOf value);
in
if !kind.success then "failed"
else if isPackage value then package value
else if path == [ ] || (isAttrs value && value.recurseForDerivations or false == true && builtins.length path < 6) then attrNames value
else kind.value
