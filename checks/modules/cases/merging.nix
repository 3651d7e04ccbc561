# Priorities, conditions, order, imports, arguments.
{
  lib,
  typed,
  config,
  ...
}:
let
  inherit (lib)
    mkAfter
    mkBefore
    mkDefault
    mkForce
    mkIf
    mkMerge
    mkOption
    mkOrder
    mkOverride
    types
    ;
  int = default: mkOption { type = types.int; inherit default; };
in
{
  default = {
    expr = config [ { options.a = int 1; } ];
    expected.a = 1;
  };
  over-default = {
    expr = config [
      { options.a = int 1; }
      { a = 2; }
    ];
    expected.a = 2;
  };
  mk-default = {
    expr = typed types.int [
      (mkDefault 1)
      2
    ];
    expected = 2;
  };
  mk-force = {
    expr = typed types.int [
      (mkForce 1)
      2
    ];
    expected = 1;
  };
  mk-override = {
    expr = typed types.int [
      (mkOverride 10 1)
      (mkForce 2)
      (mkOverride 9 3)
    ];
    expected = 3;
  };
  force-empties-list = {
    expr = typed (types.listOf types.int) [
      [ 1 ]
      (mkForce [ ])
    ];
    expected = [ ];
  };
  order = {
    expr = typed (types.listOf types.int) [
      (mkAfter [ 4 ])
      [ 2 ]
      (mkBefore [ 1 ])
      (mkOrder 1400 [ 3 ])
    ];
    expected = [
      1
      2
      3
      4
    ];
  };
  condition = {
    expr = config [
      {
        options.a = int 1;
        options.b = int 1;
      }
      ({ config, ... }: { b = mkIf (config.a == 1) 5; })
    ];
    expected = {
      a = 1;
      b = 5;
    };
  };
  # The names below a condition are known without the condition.
  condition-around-set = {
    expr = config [
      {
        options.a = int 1;
        options.b.c = int 1;
        options.b.d = int 2;
      }
      (
        { config, ... }:
        {
          config = mkIf (config.b.d == 2) {
            a = 7;
            b.c = 8;
          };
        }
      )
    ];
    expected = {
      a = 7;
      b.c = 8;
      b.d = 2;
    };
  };
  condition-around-module = {
    expr = config [
      { options.a = int 1; }
      (mkIf false { a = 2; })
    ];
    expected.a = 1;
  };
  merge = {
    expr = config [
      { options.a = mkOption { type = types.listOf types.int; }; }
      {
        config = mkMerge [
          { a = [ 1 ]; }
          (mkIf true { a = [ 2 ]; })
          (mkIf false { a = [ 3 ]; })
          { a = mkMerge [ [ 4 ] [ 5 ] ]; }
        ];
      }
    ];
    expected.a = [
      1
      2
      4
      5
    ];
  };
  force-around-set = {
    expr = config [
      { options.a.b = int 1; }
      { a = mkForce { b = 3; }; }
      { a.b = 2; }
    ];
    expected.a.b = 3;
  };
  imports = {
    expr = config [
      {
        imports = [
          { options.a = int 1; }
          ({ lib, ... }: { a = lib.mkDefault 4; })
        ];
      }
    ];
    expected.a = 4;
  };
  # The same file twice is one module: its list is not doubled.
  imports-once = {
    expr = config [
      ../modules/listed.nix
      { imports = [ ../modules/listed.nix ]; }
      { listed = [ "there" ]; }
    ];
    expected.listed = [
      "there"
      "here"
    ];
  };
  disabled = {
    expr = config [
      ../modules/listed.nix
      {
        disabledModules = [ ../modules/listed.nix ];
        options.a = int 1;
      }
    ];
    expected.a = 1;
  };
  by-key = {
    expr = config [
      { options.a = mkOption { type = types.listOf types.int; }; }
      {
        key = "same";
        a = [ 1 ];
      }
      {
        key = "same";
        a = [ 1 ];
      }
    ];
    expected.a = [ 1 ];
  };
  order-of-imports = {
    expr = config [
      {
        options.a = mkOption { type = types.listOf types.int; };
        imports = [ { a = [ 1 ]; } ];
        config.a = [ 2 ];
      }
      {
        imports = [ { imports = [ { a = [ 3 ]; } ]; a = [ 4 ]; } ];
        a = [ 5 ];
      }
    ];
    expected.a = [
      3
      4
      1
      5
      2
    ];
  };
  arguments = {
    expr = config [
      { options.a = int 1; }
      { _module.args.three = 3; }
      ({ three, ... }: { a = three; })
    ];
    expected.a = 3;
  };
  special-arguments = {
    expr =
      (lib.evalModules {
        specialArgs.there = [ { a = 9; } ];
        modules = [
          { options.a = int 1; }
          ({ there, ... }: { imports = there; })
        ];
      }).config;
    expected.a = 9;
  };
  options-argument = {
    expr = config [
      {
        options.a = int 1;
        options.b = int 1;
      }
      ({ options, ... }: { b = if options.a.isDefined then options.a.value + 1 else 0; })
    ];
    expected = {
      a = 1;
      b = 2;
    };
  };
  apply = {
    expr = config [
      {
        options.a = mkOption {
          type = types.int;
          apply = x: x * 2;
        };
      }
      { a = 4; }
    ];
    expected.a = 8;
  };
  read-only = {
    expr = config [
      {
        options.a = mkOption {
          type = types.int;
          readOnly = true;
        };
      }
      { a = 4; }
    ];
    expected.a = 4;
  };
  freeform = {
    expr = config [
      {
        freeformType = types.attrsOf types.int;
        options.a = int 1;
      }
      {
        b = 2;
        c = mkDefault 3;
      }
    ];
    expected = {
      a = 1;
      b = 2;
      c = 3;
    };
  };
  unchecked = {
    expr = config [
      { options.a = int 1; }
      {
        _module.check = false;
        b = 2;
      }
    ];
    expected.a = 1;
  };
  # What nobody looks at is not evaluated.
  lazy = {
    expr =
      (config [
        {
          options.a = int 1;
          options.b = int 1;
        }
        { b = throw "not needed"; }
      ]).a;
    expected = 1;
  };
}
