# Conditions, merges, priorities and order: what a definition says about itself.
{ basics }:
let
  inherit (basics)
    any
    concatMap
    filter
    foldl'
    head
    isAttrs
    isBool
    length
    map
    mapAttrs
    min
    sort
    withContext
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
  mkMerge = contents: {
    _type = "merge";
    inherit contents;
  };

  defaultOverridePriority = 100;
  defaultOrderPriority = 1000;
  # Where the search for the strongest starts: of several definitions, weaker ones than this count
  # for nothing.
  weakest = 9999;

  isWrapped = def: def.value ? _type;

  # The values that are left of one value when its conditions and merges are decided.
  discharge =
    value:
    let
      kind = value._type or null;
    in
    if kind == "if" then
      if !isBool value.condition then
        throw "The condition of `mkIf' is ${builtins.typeOf value.condition}, not a boolean."
      else if value.condition then
        discharge value.content
      else
        [ ]
    else if kind == "merge" then
      concatMap discharge value.contents
    else
      [ value ];

  priorityOf =
    def: if (def.value._type or null) == "override" then def.value.priority else defaultOverridePriority;
  withoutOverride =
    def:
    if (def.value._type or null) == "override" then def // { value = def.value.content; } else def;

  # Of these, the ones with the strongest priority.
  filterOverrides' =
    defs:
    let
      # One alone wins, however weak.
      highestPrio =
        if length defs == 1 then
          priorityOf (head defs)
        else
          foldl' (least: def: min least (priorityOf def)) weakest defs;
    in
    {
      inherit highestPrio;
      values = map withoutOverride (filter (def: priorityOf def == highestPrio) defs);
    };

  sortProperties =
    defs:
    sort (a: b: (a.priority or defaultOrderPriority) < (b.priority or defaultOrderPriority)) (
      map (
        def:
        if (def.value._type or null) == "order" then
          def
          // {
            value = def.value.content;
            inherit (def.value) priority;
          }
        else
          def
      ) defs
    );

  # The definitions that count, those of the strongest priority in order, and that priority.
  # Most definitions say nothing about themselves: those cost one look each.
  resolve =
    defs:
    if !any isWrapped defs then
      {
        values = defs;
        highestPrio = if defs == [ ] then weakest else defaultOverridePriority;
      }
    else
      let
        strongest = filterOverrides' (
          concatMap (
            def:
            map (
              value:
              if (value._type or null) == "definition" then
                value
              else
                {
                  inherit (def) file;
                  inherit value;
                }
            ) (withContext "while evaluating definitions from `${def.file}':" (discharge def.value))
          ) defs
        );
      in
      {
        inherit (strongest) highestPrio;
        values =
          if any (def: (def.value._type or null) == "order") strongest.values then
            sortProperties strongest.values
          else
            strongest.values;
      };

  # Moves the wrappers of an attribute set onto its attributes, so that their names are known
  # before any condition is evaluated: a condition may depend on other options of the set.
  pushDown =
    value:
    let
      kind = value._type or null;
      onto = wrap: map (inner: if isAttrs inner then mapAttrs (_: wrap) inner else inner) (pushDown value.content);
    in
    if kind == "if" then
      onto (mkIf value.condition)
    else if kind == "merge" then
      concatMap pushDown value.contents
    else if kind == "override" then
      onto (mkOverride value.priority)
    else
      [ value ];

  mapDefinitionValue =
    f: def:
    let
      kind = def._type or null;
    in
    if kind == "merge" then
      def // { contents = map (mapDefinitionValue f) def.contents; }
    else if kind == "if" || kind == "override" || kind == "order" then
      def // { content = mapDefinitionValue f def.content; }
    else if kind == "definition" then
      def // { value = mapDefinitionValue f def.value; }
    else
      f def;
in
{
  inherit resolve pushDown discharge;

  public = rec {
    inherit
      defaultOrderPriority
      defaultOverridePriority
      filterOverrides'
      mapDefinitionValue
      mkIf
      mkMerge
      mkOrder
      mkOverride
      sortProperties
      ;
    filterOverrides = defs: (filterOverrides' defs).values;
    mkVMOverride = mkOverride 10;
    mkForce = mkOverride 50;
    mkImageMediaOverride = mkOverride 60;
    mkDefault = mkOverride 1000;
    mkOptionDefault = mkOverride 1500;
    mkBefore = mkOrder 500;
    mkAfter = mkOrder 1500;
    mkDefinition = { file, value, ... }@args: args // { _type = "definition"; };
    mkAssert =
      assertion: message:
      mkIf (if assertion then true else throw "\nFailed assertion: ${message}");
    mkFixStrictness = value: value;

    # The definitions of an option as one definition of another.
    mkAliasAndWrapDefinitions =
      wrap: option: mkIf option.isDefined (wrap (mkMerge option.definitions));
    mkAliasDefinitions = mkAliasAndWrapDefinitions (value: value);
    mkAliasAndWrapDefsWithPriority =
      wrap: option:
      mkIf option.isDefined (
        wrap (mkMerge (map (mkOverride (option.highestPrio or defaultOverridePriority)) option.definitions))
      );
    mkAliasIfDef = option: mkIf option.isDefined;
    mkDerivedConfig = option: f: mkOverride (option.highestPrio or defaultOverridePriority) (f option.value);
  };
}
