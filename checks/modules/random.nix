# Module sets by the number: options of all types, with definitions that are right, wrong, wrapped
# and doubled. What comes of them is compared between evaluators, and between ours and nixpkgs' `lib`.
{
  lib ? import ../../modules/lib,
  from ? 0,
  count ? 200,
}:
let
  inherit (lib) mkOption types;

  # Below `n`, the same for the same place.
  draw =
    place: n:
    let
      number = (fromTOML "x = 0x${builtins.substring 0 7 (builtins.hashString "sha256" place)}").x;
    in
    number - n * (number / n);
  pick = place: xs: builtins.elemAt xs (draw place (builtins.length xs));
  some = place: xs: builtins.filter (x: draw "${place}/some/${toString x}" 2 == 0) xs;

  simple = {
    inherit (types)
      bool
      boolByOr
      int
      str
      lines
      commas
      number
      port
      raw
      unspecified
      anything
      attrs
      singleLineStr
      ;
    positive = types.ints.positive;
    enum = types.enum [
      1
      "x"
      null
    ];
  };
  wrappers = {
    inherit (types)
      listOf
      attrsOf
      lazyAttrsOf
      nullOr
      uniq
      nonEmptyListOf
      attrListOf
      ;
    coerced = type: types.coercedTo types.int (n: [ (toString n) ]) (types.listOf types.str);
    either = type: types.either type types.bool;
    check = type: types.addCheck type (x: x != 3);
    tag = type: types.attrTag { a = mkOption { inherit type; }; };
    module =
      type:
      types.submodule (
        { name, ... }:
        {
          options.a = mkOption {
            inherit type;
          };
          options.name = mkOption { default = name; };
        }
      );
    same = type: types.submodule {
      freeformType = types.attrsOf types.int;
      options.a = mkOption { inherit type; };
      options.b.c = mkOption {
        type = types.int;
        default = 4;
      };
    };
  };
  typeAt =
    place: depth:
    if depth == 0 || draw "${place}/leaf" 3 == 0 then
      simple.${pick "${place}/simple" (builtins.attrNames simple)}
    else
      wrappers.${pick "${place}/wrapper" (builtins.attrNames wrappers)} (
        typeAt "${place}/inner" (depth - 1)
      );

  wrap =
    outermost: place: value:
    let
      kinds = [
        (lib.mkIf true)
        (lib.mkIf false)
        lib.mkForce
        lib.mkDefault
        (x: lib.mkMerge [ x ])
        (x: lib.mkMerge [
          x
          x
        ])
        (x: lib.mkIf true (lib.mkForce x))
      ]
      # nixpkgs' submodules cannot have an order, and what is inside is no property for all types.
      ++ lib.optionals (outermost && builtins.isList value) [
        lib.mkBefore
        lib.mkAfter
      ];
    in
    if draw "${place}/wrapped" 5 < 3 then value else pick "${place}/wrap" kinds value;

  valueAt =
    place: depth:
    let
      inner = name: wrap false "${place}/${name}" (valueAt "${place}/${name}" (depth - 1));
    in
    pick "${place}/value" (
      [
        true
        1
        2
        "x"
        "y"
        null
      ]
      ++ (
        if depth == 0 then
          [ ]
        else
          [
            [ (inner "0") ]
            [
              (inner "0")
              (inner "1")
            ]
            { a = inner "a"; }
            { a = inner "a"; }
            {
              a = inner "a";
              b = inner "b";
            }
            { }
            [ ]
          ]
      )
    );

  names = [
    "a"
    "b"
    "c"
    "d"
  ];
  modulesOf =
    seed:
    let
      place = "seed ${toString seed}";
    in
    [
      {
        _file = "options.nix";
        options = lib.genAttrs names (
          name:
          mkOption (
            {
              type = typeAt "${place}/${name}" 3;
            }
            // (if draw "${place}/${name}/has" 2 == 0 then { default = valueAt "${place}/${name}/default" 2; } else { })
          )
        );
      }
    ]
    ++ map (
      n:
      let
        here = "${place}/module ${toString n}";
      in
      {
        _file = "module-${toString n}.nix";
        config = wrap false here (
          lib.genAttrs (some here names) (name: wrap true "${here}/${name}" (valueAt "${here}/${name}" 3))
        );
      }
    ) (lib.range 1 (1 + draw place 4));

  # Errors are all alike here: their words differ between libraries.
  plain =
    value:
    let
      attempt = builtins.tryEval value;
    in
    if !attempt.success then
      "an error"
    else if builtins.isList attempt.value then
      map plain attempt.value
    else if builtins.isAttrs attempt.value then
      builtins.mapAttrs (_: plain) attempt.value
    else
      attempt.value;

  result =
    seed:
    let
      evaluated = lib.evalModules { modules = modulesOf seed; };
    in
    {
      config = plain evaluated.config;
      options = lib.genAttrs names (
        name:
        plain {
          inherit (evaluated.options.${name})
            isDefined
            highestPrio
            files
            definitions
            ;
          type = evaluated.options.${name}.type.description;
        }
      );
    };
in
map result (lib.range from (from + count - 1))
