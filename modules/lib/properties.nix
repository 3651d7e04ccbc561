# Conditions, merges, priorities and order: what a definition says about itself.
{ basics }:
let
  inherit (basics)
    any
    concatMap
    filter
    foldl'
    head
    length
    map
    mapAttrs
    min
    sort
    tail
    ;

  mkOverride = priority: content: {
    _type = "override";
    inherit priority content;
  };
  mkOrder = priority: content: {
    _type = "order";
    inherit priority content;
  };
  mkIf = condition: content: {
    _type = "if";
    inherit condition content;
  };

  defaultPriority = 100;
  defaultOrder = 1000;

  # The plain values in one definition, each with what its wrappers say. The outermost wrapper
  # of a kind counts; null stands for "said nothing".
  expand =
    file: priority: order: value:
    let
      kind = value._type or null;
    in
    if kind == "if" then
      if value.condition then expand file priority order value.content else [ ]
    else if kind == "merge" then
      concatMap (expand file priority order) value.contents
    else if kind == "override" then
      expand file (if priority == null then value.priority else priority) order value.content
    else if kind == "order" then
      expand file priority (if order == null then value.priority else order) value.content
    else
      [
        {
          inherit file value;
          priority = if priority == null then defaultPriority else priority;
          order = if order == null then defaultOrder else order;
        }
      ];

  # The definitions that count: those of the strongest priority, in order.
  resolve =
    defs:
    let
      all = concatMap (def: expand def.file null null def.value) defs;
      strongest = foldl' (least: def: min least def.priority) (head all).priority (tail all);
      kept = filter (def: def.priority == strongest) all;
    in
    if length all <= 1 then
      all
    else if any (def: def.order != defaultOrder) kept then
      sort (a: b: a.order < b.order) kept
    else
      kept;

  # Moves the wrappers of an attribute set onto its attributes, so that their names are known
  # before any condition is evaluated: a condition may depend on other options of the set.
  pushDown =
    value:
    let
      kind = value._type or null;
      onto = wrap: map (mapAttrs (_: wrap)) (pushDown value.content);
    in
    if kind == "if" then
      onto (mkIf value.condition)
    else if kind == "merge" then
      concatMap pushDown value.contents
    else if kind == "override" then
      onto (mkOverride value.priority)
    else if kind == "order" then
      onto (mkOrder value.priority)
    else
      [ value ];
in
{
  inherit resolve pushDown;

  public = {
    inherit mkIf mkOverride mkOrder;
    mkMerge = contents: {
      _type = "merge";
      inherit contents;
    };
    mkForce = mkOverride 50;
    mkDefault = mkOverride 1000;
    mkOptionDefault = mkOverride 1500;
    mkBefore = mkOrder 500;
    mkAfter = mkOrder 1500;
  };
}
