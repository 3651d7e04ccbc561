# What modules can say, and what evaluation gives back.
{ lib, config, ... }:
let
  inherit (lib) mkDefault mkForce mkIf mkMerge mkOption;
  t = lib.types;
  eval = modules: lib.evalModules { inherit modules; };
  options = modules: (eval modules).options;
  int = mkOption { type = t.int; };
  ints = mkOption { type = t.listOf t.int; };
  strings = mkOption { type = t.listOf t.str; default = [ ]; };
  fails = value: !(builtins.tryEval (builtins.deepSeq value null)).success;
  # What NixOS has for messages of modules.
  messages = {
    options.warnings = strings;
    options.assertions = mkOption { type = t.listOf t.raw; default = [ ]; };
  };
in
{
  option-default-only = {
    expr = let o = (options [ { _file = "a.nix"; options.x = mkOption { type = t.int; default = 3; description = "d"; }; } ]).x; in [ o.isDefined o.highestPrio o.definitions o.files o.declarations o.loc o.value o.description o.default (toString o) o._type ];
    expected = [
      true
      1500
      [
        3
      ]
      [
        "a.nix"
      ]
      [
        "a.nix"
      ]
      [
        "x"
      ]
      3
      "d"
      3
      "x"
      "option"
    ];
  };
  option-undefined = {
    expr = let o = (options [ { options.x = int; } ]).x; in [ o.isDefined o.definitions o.highestPrio ];
    expected = [
      false
      [ ]
      9999
    ];
  };
  option-defined = {
    expr = let o = (options [ { options.x = int; } { _file = "b.nix"; x = mkForce 1; } { x = mkIf false 3; } { _file = "c.nix"; x = 2; } ]).x; in [ o.isDefined o.highestPrio o.definitions o.files o.definitionsWithLocations ];
    expected = [
      true
      50
      [
        1
      ]
      [
        "b.nix"
      ]
      [
        {
          file = "b.nix";
          value = 1;
        }
      ]
    ];
  };
  option-position = {
    expr = let o = (options [ { options.x = int; } ]).x; p = builtins.head o.declarationPositions; in [ (builtins.attrNames p) (builtins.length o.declarationPositions) ];
    expected = [
      [
        "column"
        "file"
        "line"
      ]
      1
    ];
  };
  option-generated-position = {
    expr = map (p: builtins.attrNames p) (options [ { _file = "g.nix"; options = builtins.listToAttrs [ { name = "x"; value = int; } ]; } ]).x.declarationPositions;
    expected = [
      [
        "column"
        "file"
        "line"
      ]
    ];
  };
  option-attributes = {
    expr = builtins.attrNames (options [ { options.x = mkOption { type = t.int; default = 3; example = 1; visible = false; internal = true; readOnly = true; relatedPackages = [ ]; defaultText = "three"; }; } ]).x;
    expected = [
      "__toString"
      "_type"
      "declarationPositions"
      "declarations"
      "default"
      "defaultText"
      "definitions"
      "definitionsWithLocations"
      "example"
      "files"
      "highestPrio"
      "internal"
      "isDefined"
      "loc"
      "options"
      "readOnly"
      "relatedPackages"
      "type"
      "value"
      "valueMeta"
      "visible"
    ];
  };
  option-untyped = {
    expr = (config [ { options.x = mkOption { }; } { x = [ 1 ]; } { x = [ 2 ]; } ]).x;
    expected = [
      2
      1
    ];
  };
  option-twice = {
    expr = let o = (options [ { _file = "a.nix"; options.x = mkOption { type = t.enum [ 1 ]; default = 2; }; } { _file = "b.nix"; options.x = mkOption { type = t.enum [ 2 ]; description = "two"; }; } ]).x; in [ o.type.description o.description o.value o.declarations ];
    expected = [
      "one of 2, 1"
      "two"
      2
      [
        "b.nix"
        "a.nix"
      ]
    ];
  };
  option-twice-untyped = {
    expr = (config [ { options.x = mkOption { default = 1; }; } { options.x = mkOption { description = "d"; }; } ]).x;
    expected = 1;
  };
  option-twice-clash = {
    expr = map fails [ (config [ { options.x = mkOption { default = 1; }; } { options.x = mkOption { default = 2; }; } ]) (config [ { options.x = int; } { options.x = mkOption { type = t.str; }; } { x = 1; } ]) ];
    expected = [
      true
      true
    ];
  };
  option-in-submodule = {
    expr = let o = options [ { options.s = mkOption { type = t.submodule { options.x = int; }; }; } { options.s.y = mkOption { type = t.int; default = 4; }; } { s.x = 1; } ]; in [ o.s.value o.s.type.description (builtins.length o.s.declarations) ];
    expected = [
      {
        x = 1;
        y = 4;
      }
      "submodule"
      2
    ];
  };
  option-under-set = {
    expr = fails (config [ { options.s = mkOption { type = t.attrsOf t.int; }; } { options.s.y = int; } { s.y = 1; } ]);
    expected = true;
  };
  option-not-option = {
    expr = fails (config [ { options.x = t.int; } { x = 1; } ]);
    expected = true;
  };
  apply-sees-default = {
    expr = (config [ { options.x = mkOption { default = 1; apply = x: x + 1; }; } ]).x;
    expected = 2;
  };
  apply-in-options = {
    expr = (options [ { options.x = mkOption { default = 1; apply = x: x + 1; }; } ]).x.value;
    expected = 2;
  };
  enable = {
    expr = let o = (options [ { options.e = lib.mkEnableOption "it"; } ]).e; in [ o.value o.description o.example ];
    expected = [
      false
      "Whether to enable it."
      true
    ];
  };
  package = {
    expr = let pkgs = { a.b = { type = "derivation"; name = "ab"; }; c = { type = "derivation"; name = "c"; }; }; o = (options [ { options.p = lib.mkPackageOption pkgs [ "a" "b" ] { extraDescription = "More."; example = [ "c" ]; }; options.q = lib.mkPackageOption pkgs "c" { nullable = true; default = null; }; options.r = lib.mkPackageOption pkgs "C" { default = "c"; pkgsText = "their"; }; } ]); in [ o.p.value.name o.p.description o.p.defaultText o.p.example o.q.value o.q.type.description o.r.defaultText o.r.description ];
    expected = [
      "ab"
      "The b package to use. More."
      {
        _type = "literalExpression";
        text = "pkgs.a.b";
      }
      {
        _type = "literalExpression";
        text = "pkgs.c";
      }
      null
      "null or package"
      {
        _type = "literalExpression";
        text = "their.c";
      }
      "The C package to use."
    ];
  };
  sink = {
    expr = [ (fails (config [ { options.x = lib.mkSinkUndeclaredOptions { }; } { x = 1; } ]).x) (builtins.attrNames (config [ { options.x = lib.mkSinkUndeclaredOptions { }; } { x = 1; } ])) ];
    expected = [
      true
      [
        "x"
      ]
    ];
  };
  read-only-default = {
    expr = (config [ { options.x = mkOption { readOnly = true; default = 1; }; } ]).x;
    expected = 1;
  };
  read-only-forced = {
    expr = fails (config [ { options.x = mkOption { readOnly = true; default = 1; }; } { x = mkForce 2; } ]);
    expected = true;
  };
  priorities-all = {
    expr = config [ { options = lib.genAttrs [ "a" "b" "c" "d" "e" ] (_: int); } { a = lib.mkVMOverride 1; b = lib.mkImageMediaOverride 1; c = mkForce 1; d = 1; e = mkDefault 1; } { a = mkForce 2; b = 2; c = lib.mkVMOverride 2; d = mkDefault 2; e = lib.mkOptionDefault 2; } ];
    expected = {
      a = 1;
      b = 1;
      c = 2;
      d = 1;
      e = 1;
    };
  };
  priority-of-set = {
    expr = config [ { options.s.a = int; options.s.b = int; } { s = mkDefault { a = 1; b = 1; }; } { s.a = 2; } ];
    expected = {
      s = {
        a = 2;
        b = 1;
      };
    };
  };
  priority-inside-condition = {
    expr = (config [ { options.a = int; } { a = mkIf true (mkForce 1); } { a = 2; } ]).a;
    expected = 1;
  };
  priority-around-condition = {
    expr = fails (config [ { options.a = int; } { a = mkForce (mkIf true 1); } ]);
    expected = true;
  };
  priority-weakest-two = {
    expr = fails (config [ { options.a = int; } { a = lib.mkOverride 20000 1; } { a = lib.mkOverride 20000 1; } ]);
    expected = true;
  };
  order-inside-priority = {
    expr = (config [ { options.a = ints; } { a = mkForce (lib.mkBefore [ 1 ]); } { a = mkForce [ 2 ]; } { a = [ 3 ]; } ]).a;
    expected = [
      1
      2
    ];
  };
  order-equal = {
    expr = (config [ { options.a = ints; } { a = lib.mkOrder 1000 [ 1 ]; } { a = [ 2 ]; } ]).a;
    expected = [
      2
      1
    ];
  };
  order-of-lines = {
    expr = (config [ { options.a = mkOption { type = t.lines; }; } { a = lib.mkAfter "z"; } { a = "m"; } { a = lib.mkBefore "a"; } ]).a;
    expected = "a\nm\nz";
  };
  condition-on-config = {
    expr = (config [ { options.a = int; options.b = mkOption { type = t.bool; default = true; }; } ({ config, ... }: { a = mkMerge [ (mkIf config.b 1) (mkIf (!config.b) 2) ]; }) ]).a;
    expected = 1;
  };
  condition-not-boolean = {
    expr = fails (config [ { options.a = int; } { a = mkIf "yes" 1; } ]);
    expected = true;
  };
  definition = {
    expr = let o = (options [ { options.a = ints; } { a = mkMerge [ (lib.mkDefinition { file = "x.nix"; value = [ 1 ]; }) (lib.mkDefinition { file = "y.nix"; value = lib.mkBefore [ 2 ]; }) ]; } ]).a; in [ o.value o.files ];
    expected = [
      [
        2
        1
      ]
      [
        "y.nix"
        "x.nix"
      ]
    ];
  };
  assert-wrapper = {
    expr = fails (config [ { options.a = int; } { a = lib.mkAssert false "no" 1; } ]);
    expected = true;
  };
  map-definition = {
    expr = (config [ { options.a = ints; } { a = lib.modules.mapDefinitionValue (x: [ x ]) (mkForce (lib.mkBefore 1)); } ]).a;
    expected = [
      1
    ];
  };
  alias-definitions = {
    expr = (config [ { options.a = ints; options.b = ints; } { a = [ 1 ]; } { a = mkForce [ 2 ]; } ({ options, ... }: { b = lib.mkAliasDefinitions options.a; }) ]).b;
    expected = [
      2
    ];
  };
  derived = {
    expr = let c = config [ { options.a = mkOption { type = t.str; }; options.b = mkOption { type = t.str; default = ""; }; } { a = mkDefault "x"; } ({ options, ... }: { b = lib.modules.mkDerivedConfig options.a (x: x + "!"); }) ({ b = "own"; }) ]; in c.b;
    expected = "own";
  };
  imports-dedup = {
    expr = (config [ { options.a = ints; } { imports = [ { key = "k"; a = [ 1 ]; } ]; } { key = "k"; a = [ 1 ]; } ]).a;
    expected = [
      1
    ];
  };
  imports-require = {
    expr = (config [ { options.a = ints; } { require = [ { a = [ 1 ]; } ]; a = [ 2 ]; } ]).a;
    expected = [
      1
      2
    ];
  };
  imports-order = {
    expr = (config [ { options.a = ints; } { imports = [ { a = [ 1 ]; } { a = [ 2 ]; } ]; a = [ 3 ]; } { a = [ 4 ]; } ]).a;
    expected = [
      2
      1
      4
      3
    ];
  };
  imports-default-location = {
    expr = (options [ { options.a = int; } (lib.setDefaultModuleLocation "there.nix" { a = 1; }) ]).a.files;
    expected = [
      "there.nix"
    ];
  };
  imports-special = {
    expr = (lib.evalModules { specialArgs.extra = { a = 5; }; modules = [ { options.a = int; } ({ extra, ... }: { imports = [ extra ]; }) ]; }).config.a;
    expected = 5;
  };
  disabled-key = {
    expr = config [ { options.a = mkOption { default = 0; }; } { key = "k"; a = 1; } { disabledModules = [ { key = "k"; } ]; } ];
    expected = {
      a = 0;
    };
  };
  disabled-within = {
    expr = config [ { options.a = mkOption { default = 0; }; } { key = "k"; imports = [ { a = 1; } ]; } { imports = [ { disabledModules = [ { key = "k"; } ]; } ]; } ];
    expected = {
      a = 0;
    };
  };
  disabled-unknown = {
    expr = fails (config [ { disabledModules = [ { a = 1; } ]; } ]);
    expected = true;
  };
  arguments-default-form = {
    expr = (config [ { options.a = int; } { _module.args.n = 4; } ({ n ? 9, ... }: { a = n; }) ]).a;
    expected = 4;
  };
  arguments-whole = {
    expr = (config [ { options.a = int; } (args: { a = if args ? lib && args ? config && args ? options && args ? specialArgs then 1 else 0; }) ]).a;
    expected = 1;
  };
  arguments-functor = {
    expr = (config [ { options.a = int; } { __functor = self: { config, ... }: { a = self.n; }; n = 6; } ]).a;
    expected = 6;
  };
  arguments-legacy = {
    expr = (lib.evalModules { args = { n = 2; }; check = false; modules = [ { options.a = int; } ({ n, ... }: { a = n; b = 1; }) ]; }).config.a;
    expected = 2;
  };
  arguments-override = {
    expr = (config [ { options.a = int; } { _module.args.n = mkDefault 1; } { _module.args.n = 2; } ({ n, ... }: { a = n; }) ]).a;
    expected = 2;
  };
  arguments-prefix = {
    expr = (lib.evalModules { prefix = [ "p" "q" ]; modules = [ ({ _prefix, lib, ... }: { options.a = lib.mkOption { default = _prefix; }; }) ]; }).config.a;
    expected = [
      "p"
      "q"
    ];
  };
  freeform-lazy = {
    expr = (config [ { freeformType = t.lazyAttrsOf t.int; } ({ config, ... }: { a = config.b; b = 2; }) ]).a;
    expected = 2;
  };
  freeform-nested = {
    expr = config [ { freeformType = t.attrsOf t.anything; options.s.a = mkOption { default = 1; }; } { s.b = 2; c.d = 3; } ];
    expected = {
      c = {
        d = 3;
      };
      s = {
        a = 1;
        b = 2;
      };
    };
  };
  freeform-typed = {
    expr = fails (config [ { freeformType = t.attrsOf t.int; } { a = "x"; } ]);
    expected = true;
  };
  freeform-declared-otherwise = {
    expr = config [ { freeformType = t.attrsOf t.int; options.a = mkOption { type = t.str; }; } { a = "x"; b = 1; } ];
    expected = {
      a = "x";
      b = 1;
    };
  };
  freeform-by-option = {
    expr = config [ { _module.freeformType = t.attrsOf t.str; } { a = "x"; } ];
    expected = {
      a = "x";
    };
  };
  freeform-merged = {
    expr = config [ { freeformType = t.attrsOf (t.enum [ 1 ]); } { freeformType = t.attrsOf (t.enum [ 2 ]); } { a = 1; b = 2; } ];
    expected = {
      a = 1;
      b = 2;
    };
  };
  freeform-submodule = {
    expr = config [ { options.s = mkOption { type = t.submodule { freeformType = t.attrsOf t.int; options.a = mkOption { default = 1; }; }; }; } { s.b = 2; } { s.c = 3; } ];
    expected = {
      s = {
        a = 1;
        b = 2;
        c = 3;
      };
    };
  };
  freeform-conditions = {
    expr = config [ { freeformType = t.attrsOf t.int; } { a = mkMerge [ (mkDefault 1) 2 ]; b = mkIf false 3; } ];
    expected = {
      a = 2;
    };
  };
  class-result = {
    expr = (lib.evalModules { class = "nixos"; modules = [ { _class = "nixos"; } ]; }).class;
    expected = "nixos";
  };
  class-wrong = {
    expr = fails (lib.evalModules { class = "nixos"; modules = [ { _class = "darwin"; } ]; }).config;
    expected = true;
  };
  class-argument = {
    expr = (lib.evalModules { class = "c"; modules = [ ({ _class, ... }: { options.a = mkOption { default = _class; }; }) ]; }).config.a;
    expected = "c";
  };
  class-submodule = {
    expr = fails (config [ { options.s = mkOption { type = t.submoduleWith { class = "x"; modules = [ { _class = "y"; } ]; }; default = { }; }; } ]);
    expected = true;
  };
  module-kinds = {
    expr = map (m: fails (config [ m ])) [ { _type = "flake"; } { _type = "option"; } [ ] (x: 5) { config = { }; stray = 1; } ];
    expected = [
      true
      true
      true
      true
      true
    ];
  };
  module-meta = {
    expr = (config [ { options.meta = mkOption { }; options.a = mkOption { default = 1; }; meta = 3; } ]).meta;
    expected = 3;
  };
  extend = {
    expr = let e = eval [ { options.a = ints; } { a = [ 1 ]; } ]; in [ (e.extendModules { modules = [ { a = [ 2 ]; } ]; }).config.a e.config.a ((e.extendModules { specialArgs.n = 3; modules = [ ({ n, ... }: { a = [ n ]; }) ]; }).config.a) ];
    expected = [
      [
        2
        1
      ]
      [
        1
      ]
      [
        3
        1
      ]
    ];
  };
  extend-prefix = {
    expr = let e = eval [ { options.a = int; } ]; in (e.extendModules { prefix = [ "p" ]; }).options.a.loc;
    expected = [
      "p"
      "a"
    ];
  };
  extend-argument = {
    expr = (config [ { options.a = int; options.b = mkOption { default = null; }; } ({ extendModules, lib, ... }: { a = 1; b = lib.mkDefault (extendModules { modules = [ { b = 5; } ]; }).config.b; }) ]).b;
    expected = 5;
  };
  type-result = {
    expr = let base = eval [ { options.a = int; } ]; in (config [ { options.s = mkOption { type = t.attrsOf base.type; }; } { s.x.a = 1; } ]).s;
    expected = {
      x = {
        a = 1;
      };
    };
  };
  module-type = {
    expr = (config [ ({ moduleType, ... }: { options.a = mkOption { default = 0; }; options.sub = mkOption { type = t.lazyAttrsOf moduleType; default = { }; }; }) { sub.x.sub.y.a = 5; } ]).sub.x.sub.y.a;
    expected = 5;
  };
  graph = {
    expr = map (n: { inherit (n) key file disabled; }) (eval [ { _file = "a.nix"; key = "a"; imports = [ { key = "b"; } ]; } { disabledModules = [ { key = "b"; } ]; } ]).graph;
    expected = [
      {
        disabled = false;
        file = "a.nix";
        key = "a";
      }
      {
        disabled = false;
        file = "<unknown-file>";
        key = ":anon-2";
      }
    ];
  };
  result = {
    expr = builtins.attrNames (eval [ ]);
    expected = [
      "_module"
      "_type"
      "class"
      "config"
      "extendModules"
      "graph"
      "options"
      "type"
    ];
  };
  result-module = {
    expr = let m = (eval [ { _module.args.x = 1; } ])._module; in [ m.args.x m.check m.freeformType ];
    expected = [
      1
      true
      null
    ];
  };
  check-off = {
    expr = config [ { config._module.check = false; options.a = mkOption { default = 1; }; } { b = 2; } ];
    expected = {
      a = 1;
    };
  };
  unknown = {
    expr = fails (config [ { options.a = int; } { a = 1; b = 2; } ]);
    expected = true;
  };
  unknown-lazy = {
    expr = (builtins.tryEval (config [ { options.a = mkOption { default = 1; }; } { b = throw "x"; } ]).a).success;
    expected = false;
  };
  submodule-name = {
    expr = (config [ { options.s = mkOption { type = t.attrsOf (t.submodule ({ name, ... }: { options.n = mkOption { default = name; }; })); }; } { s.x = { }; s."y z" = { }; } ]).s;
    expected = {
      x = {
        n = "x";
      };
      "y z" = {
        n = "y z";
      };
    };
  };
  submodule-name-forced = {
    expr = (config [ { options.s = mkOption { type = t.attrsOf (t.submodule ({ name, ... }: { options.n = mkOption { default = name; }; })); }; } { s.x._module.args.name = mkForce "other"; } ]).s.x.n;
    expected = "other";
  };
  submodule-list-name = {
    expr = (config [ { options.s = mkOption { type = t.listOf (t.submodule ({ name, ... }: { options.n = mkOption { default = name; }; })); }; } { s = [ { } { } ]; } ]).s;
    expected = [
      {
        n = "[definition 1-entry 1]";
      }
      {
        n = "[definition 1-entry 2]";
      }
    ];
  };
  submodule-config = {
    expr = (config [ { options.s = mkOption { type = t.submodule ({ config, ... }: { options.a = mkOption { default = 1; }; options.b = mkOption { default = config.a + 1; }; }); default = { }; }; } { s.a = 5; } ]).s;
    expected = {
      a = 5;
      b = 6;
    };
  };
  submodule-function = {
    expr = (config [ { options.s = mkOption { type = t.submoduleWith { modules = [ { options.a = int; options.b = mkOption { default = 1; }; } ]; }; }; } { s = { config, ... }: { a = config.b; }; } { s.b = 7; } ]).s;
    expected = {
      a = 7;
      b = 7;
    };
  };
  submodule-imports = {
    expr = (config [ { options.s = mkOption { type = t.submoduleWith { modules = [ { options.a = ints; } ]; }; }; } { s = { imports = [ { a = [ 1 ]; } ]; a = [ 2 ]; }; } { s.a = [ 3 ]; } ]).s;
    expected = {
      a = [
        1
        2
        3
      ];
    };
  };
  submodule-own-options = {
    expr = (config [ { options.s = mkOption { type = t.submoduleWith { modules = [ ]; }; }; } { s = { options.a = mkOption { default = 2; }; }; } ]).s;
    expected = {
      a = 2;
    };
  };
  submodule-shorthand-config = {
    expr = (config [ { options.s = mkOption { type = t.submodule { options.config = int; options.options = int; }; }; } { s.config = 1; s.options = 2; } ]).s;
    expected = {
      config = 1;
      options = 2;
    };
  };
  submodule-special = {
    expr = (config [ { options.s = mkOption { type = t.submoduleWith { specialArgs.n = 3; modules = [ ({ n, ... }: { options.a = mkOption { default = n; }; }) ]; }; default = { }; }; } ]).s;
    expected = {
      a = 3;
    };
  };
  submodule-order = {
    expr = (config [ { options.s = mkOption { type = t.submodule { options.a = ints; config.a = [ 0 ]; imports = [ { a = [ 9 ]; } ]; }; }; } { s.a = [ 1 ]; } { s.a = [ 2 ]; } ]).s.a;
    expected = [
      9
      0
      1
      2
    ];
  };
  submodule-order-functions = {
    expr = (config [ { options.s = mkOption { type = t.submodule ({ ... }: { options.a = ints; config.a = [ 0 ]; imports = [ ({ ... }: { a = [ 9 ]; }) ]; }); }; } { s.a = [ 1 ]; } { s.a = [ 2 ]; } ]).s.a;
    expected = [
      9
      0
      1
      2
    ];
  };
  submodule-order-either = {
    expr = (config [ { options.s = mkOption { type = t.either t.int (t.submodule [ { options.a = ints; config.a = [ 0 ]; } { a = [ 9 ]; } ]); }; } { s.a = [ 1 ]; } { s.a = [ 2 ]; } ]).s.a;
    expected = [
      1
      2
      9
      0
    ];
  };
  submodule-merged = {
    expr = (config [ { options.s = mkOption { type = t.attrsOf (t.submodule { options.a = mkOption { default = 1; }; }); }; } { options.s = mkOption { type = t.attrsOf (t.submodule { options.b = mkOption { default = 2; }; }); }; } { s.x = { }; } ]).s;
    expected = {
      x = {
        a = 1;
        b = 2;
      };
    };
  };
  submodule-null = {
    expr = (config [ { options.s = mkOption { type = t.nullOr (t.submodule { options.a = mkOption { default = 1; }; }); default = null; }; } { s = { }; } ]).s;
    expected = {
      a = 1;
    };
  };
  submodule-empty-value = {
    expr = (config [ { options.s = mkOption { type = t.submodule { options.a = mkOption { default = 1; }; }; }; } ]).s;
    expected = {
      a = 1;
    };
  };
  submodule-forced = {
    expr = (config [ { options.s = mkOption { type = t.submodule { options.a = mkOption { default = 1; }; options.b = mkOption { default = 2; }; }; }; } { s.a = 5; } { s = mkForce { b = 6; }; } ]).s;
    expected = {
      a = 1;
      b = 6;
    };
  };
  submodule-wrong-default = {
    expr = fails (config [ { options.s = mkOption { type = t.submodule { options.a = mkOption { type = t.int; default = "x"; }; }; default = { }; }; } ]).s;
    expected = true;
  };
  submodule-options = {
    expr = let o = options [ { options.s = mkOption { type = t.attrsOf (t.submodule { options.a = int; }); }; } ]; in (o.s.type.getSubOptions [ "s" ]).a.loc;
    expected = [
      "s"
      "<name>"
      "a"
    ];
  };
  renamed = {
    expr = let c = config [ messages (lib.mkRenamedOptionModule [ "old" ] [ "new" "it" ]) { options.new.it = int; } { _file = "user.nix"; old = 3; } ]; in [ c.new.it c.warnings ];
    expected = [
      3
      [
        "The option `old' defined in `user.nix' has been renamed to `new.it'."
      ]
    ];
  };
  renamed-priority = {
    expr = (config [ messages (lib.mkRenamedOptionModule [ "old" ] [ "new" ]) { options.new = int; } { old = mkForce 3; } { new = 1; } ]).new;
    expected = 3;
  };
  renamed-unused = {
    expr = let c = config [ messages (lib.mkRenamedOptionModule [ "old" ] [ "new" ]) { options.new = int; } { new = 1; } ]; in [ c.new c.old c.warnings ];
    expected = [
      1
      1
      [ ]
    ];
  };
  renamed-with = {
    expr = let c = config [ messages (lib.mkRenamedOptionModuleWith { from = [ "old" ]; to = [ "new" ]; sinceRelease = 2111; }) { options.new = ints; } { old = [ 3 ]; new = [ 4 ]; } ]; in [ c.new c.old ];
    expected = [
      [
        4
        3
      ]
      [
        4
        3
      ]
    ];
  };
  renamed-options = {
    expr = let o = options [ messages (lib.mkRenamedOptionModule [ "old" ] [ "new" ]) { options.new = int; } ]; in [ o.old.visible o.old.description o.old.type.description ];
    expected = [
      false
      "Alias of {option}`new`."
      "signed integer"
    ];
  };
  alias = {
    expr = let c = config [ messages (lib.mkAliasOptionModule [ "a" "b" ] [ "c" ]) { options.c = ints; } { a.b = [ 1 ]; } { c = [ 2 ]; } ]; in [ c.a.b c.c c.warnings ];
    expected = [
      [
        2
        1
      ]
      [
        2
        1
      ]
      [ ]
    ];
  };
  removed = {
    expr = let c = config [ messages (lib.mkRemovedOptionModule [ "gone" ] "Use `x'.") { _file = "user.nix"; gone = 1; } ]; in [ c.assertions (fails c.gone) ];
    expected = [
      [
        {
          assertion = false;
          message = "The option definition `gone' in `user.nix' no longer has any effect; please remove it.\nUse `x'.\n";
        }
      ]
      true
    ];
  };
  removed-unused = {
    expr = (builtins.head (config [ messages (lib.mkRemovedOptionModule [ "gone" ] "Use `x'.") ]).assertions).assertion;
    expected = true;
  };
  merged-options = {
    expr = let c = config [ messages (lib.mkMergedOptionModule [ [ "a" ] [ "b" ] ] [ "c" ] (cfg: if cfg.a == true then "a" else "b")) { options.c = mkOption { type = t.str; }; } { _file = "user.nix"; a = true; } ]; in [ c.c c.warnings ];
    expected = [
      "a"
      [
        "The option `a' defined in `user.nix' has been changed to `c' that has a different type. Please read `c' documentation and update your configuration accordingly."
      ]
    ];
  };
  changed-option = {
    expr = let c = config [ messages (lib.mkChangedOptionModule [ "n" ] [ "s" ] (cfg: "s${toString cfg.n}")) { options.s = mkOption { type = t.str; }; } { _file = "user.nix"; n = 4; } ]; in [ c.s c.warnings ];
    expected = [
      "s4"
      [
        "The option `n' defined in `user.nix' has been changed to `s' that has a different type. Please read `s' documentation and update your configuration accordingly."
      ]
    ];
  };
  rename-condition = {
    expr = builtins.attrNames (config [ { options.on = mkOption { default = false; }; options.to = mkOption { type = t.attrsOf (t.submodule { options.x = mkOption { default = 0; }; }); default = { }; }; } ({ config, ... }: { imports = [ (lib.doRename { from = [ "from" ]; to = [ "to" "" "x" ]; visible = true; warn = false; use = x: x; condition = false; }) ]; }) ]).to;
    expected = [ ];
  };
  attrs-with-priority = {
    expr = lib.modules.mergeAttrDefinitionsWithPrio (options [ { options.a = mkOption { type = t.attrsOf t.int; }; } { a.x = mkForce 1; a.y = 2; } { a.x = 3; } ]).a;
    expected = {
      x = {
        highestPrio = 50;
        value = 1;
      };
      y = {
        highestPrio = 100;
        value = 2;
      };
    };
  };
  merge-definitions = {
    expr = let m = lib.modules.mergeDefinitions [ "a" ] (t.listOf t.int) [ { file = "f"; value = lib.mkBefore [ 1 ]; } { file = "g"; value = [ 2 ]; } ]; in [ m.mergedValue m.isDefined m.optionalValue m.defsFinal'.highestPrio (map (d: d.file) m.defsFinal) ];
    expected = [
      [
        1
        2
      ]
      true
      {
        value = [
          1
          2
        ];
      }
      100
      [
        "f"
        "g"
      ]
    ];
  };
  docs = {
    expr = map (o: removeAttrs o [ "declarations" ]) (builtins.filter (o: !(builtins.elem "_module" o.loc)) (lib.optionAttrSetToDocList (options [ { options.a = mkOption { type = t.attrsOf (t.submodule { options.b = mkOption { type = t.int; default = 3; example = { x = [ 1 ]; }; description = "b"; }; }); description = "a"; }; options.c = mkOption { internal = true; readOnly = true; defaultText = lib.literalExpression "pkgs.x"; default = throw "not shown"; }; options.d = mkOption { type = t.listOf t.str; visible = false; }; } ])));
    expected = [
      {
        description = "a";
        internal = false;
        loc = [
          "a"
        ];
        name = "a";
        readOnly = false;
        type = "attribute set of (submodule)";
        visible = true;
      }
      {
        default = {
          _type = "literalExpression";
          text = "3";
        };
        description = "b";
        example = {
          _type = "literalExpression";
          text = "{\n  x = [\n    1\n  ];\n}";
        };
        internal = false;
        loc = [
          "a"
          "<name>"
          "b"
        ];
        name = "a.<name>.b";
        readOnly = false;
        type = "signed integer";
        visible = true;
      }
      {
        default = {
          _type = "literalExpression";
          text = "pkgs.x";
        };
        description = null;
        internal = true;
        loc = [
          "c"
        ];
        name = "c";
        readOnly = true;
        type = "unspecified value";
        visible = true;
      }
      {
        default = {
          _type = "literalExpression";
          text = "[ ]";
        };
        description = null;
        internal = false;
        loc = [
          "d"
        ];
        name = "d";
        readOnly = false;
        type = "list of string";
        visible = false;
      }
    ];
  };
  docs-visibility = {
    expr = map (o: [ o.name o.visible ]) (builtins.filter (o: builtins.head o.loc != "_module" && !(builtins.elem "_module" o.loc)) (lib.optionAttrSetToDocList (options [ { options = lib.genAttrs [ "transparent" "shallow" ] (visible: mkOption { inherit visible; type = t.submodule { options.x = int; }; }); } ])));
    expected = [
      [
        "shallow"
        true
      ]
      [
        "transparent"
        false
      ]
      [
        "transparent.x"
        true
      ]
    ];
  };
  docs-names = {
    expr = map (o: o.name) (builtins.filter (o: !(builtins.elem "_module" o.loc)) (lib.optionAttrSetToDocList (options [ { options.a."b c".d = mkOption { type = t.listOf (t.submodule { options.e = int; }); }; options.f = mkOption { type = t.functionTo (t.submodule { options.g = int; }); }; options.h = mkOption { type = t.submodule { freeformType = t.attrsOf (t.submodule { options.i = int; }); }; }; } ])));
    expected = [
      "a.\"b c\".d"
      "a.\"b c\".d.*.e"
      "f"
      "f.<function body>.g"
      "h"
      "h.<name>.i"
    ];
  };
  docs-root = {
    expr = map (o: [ o.name o.internal ]) (lib.optionAttrSetToDocList (options [ { options.s = mkOption { type = t.submodule { }; }; } ]));
    expected = [
      [
        "_module.args"
        false
      ]
      [
        "_module.check"
        true
      ]
      [
        "_module.freeformType"
        true
      ]
      [
        "_module.specialArgs"
        true
      ]
      [
        "s"
        false
      ]
      [
        "s._module.args"
        true
      ]
      [
        "s._module.check"
        true
      ]
      [
        "s._module.freeformType"
        true
      ]
      [
        "s._module.specialArgs"
        true
      ]
    ];
  };
}
