# Sets of options inside options.
{
  lib,
  typed,
  config,
  ...
}:
let
  inherit (lib) mkOption types;
  user = types.submodule (
    { name, config, ... }:
    {
      options.name = mkOption {
        type = types.str;
        default = name;
      };
      options.home = mkOption {
        type = types.str;
        default = "/home/${config.name}";
      };
      options.groups = mkOption {
        type = types.listOf types.str;
        default = [ ];
      };
    }
  );

  # Options and values in sets and functions, side by side and within each other.
  mixed =
    further:
    types.submoduleWith {
      shorthandOnlyDefinesConfig = true;
      modules = [
        {
          options.name = mkOption { type = types.str; };
          options.words = mkOption { type = types.listOf types.str; };
          options.kind = mkOption {
            type = types.str;
            default = "plain";
          };
          config.words = [ "set" ];
        }
        ({ name, ... }: { inherit name; })
        ({ config, ... }: lib.mkIf (config.kind == "odd") { words = [ "whole" ]; })
        (
          { config, lib, ... }:
          {
            config = lib.mkIf (config.kind == "plain") { words = lib.mkAfter [ config.name ]; };
          }
        )
        {
          _file = "outer";
          imports = [
            { words = [ "within" ]; }
            ({ config, ... }: { words = lib.optional (config.kind == "odd") "odd"; })
          ];
        }
        { words = [ "last" ]; }
      ]
      ++ further;
    };
in
{
  functions-that-give-values = {
    expr =
      (typed (types.attrsOf (mixed [ ])) [
        { a = { }; }
        {
          b.kind = "odd";
          b.words = [ "own" ];
        }
      ]);
    expected = {
      a = {
        name = "a";
        kind = "plain";
        words = [
          "within"
          "last"
          "set"
          "a"
        ];
      };
      b = {
        name = "b";
        kind = "odd";
        words = [
          "odd"
          "within"
          "last"
          "whole"
          "set"
          "own"
        ];
      };
    };
  };
  functions-that-declare-too = {
    expr =
      let
        given = [
          { a = { }; }
          { b.kind = "odd"; }
          { b.words = [ "own" ]; }
        ];
        further = { config, ... }: { options.more = mkOption { default = config.kind; }; };
        less = lib.mapAttrs (_: one: removeAttrs one [ "more" ]);
      in
      less (typed (types.attrsOf (mixed [ further ])) given)
      == typed (types.attrsOf (mixed [ ])) given;
    expected = true;
  };
  name-and-config = {
    expr = typed (types.attrsOf user) [
      { ann = { }; }
      { bob.name = "rob"; }
    ];
    expected = {
      ann = {
        name = "ann";
        home = "/home/ann";
        groups = [ ];
      };
      bob = {
        name = "rob";
        home = "/home/rob";
        groups = [ ];
      };
    };
  };
  definitions-merge = {
    expr =
      (typed (types.attrsOf user) [
        { ann.groups = [ "a" ]; }
        { ann.groups = [ "b" ]; }
        { ann = lib.mkIf false { groups = [ "c" ]; }; }
      ]).ann.groups;
    expected = [
      "a"
      "b"
    ];
  };
  force-inside = {
    expr =
      (typed (types.attrsOf user) [
        { ann.home = lib.mkForce "/ann"; }
        { ann.home = "/x"; }
      ]).ann.home;
    expected = "/ann";
  };
  force-around = {
    expr =
      (typed (types.attrsOf user) [
        { ann = lib.mkForce { home = "/ann"; }; }
        { ann.home = "/x"; }
      ]).ann.home;
    expected = "/ann";
  };
  function-definition = {
    expr = (typed (types.attrsOf user) [ { ann = { name, ... }: { home = "/h/${name}"; }; } ]).ann.home;
    expected = "/h/ann";
  };
  nested = {
    expr =
      typed
        (types.submodule {
          options.inner = mkOption {
            type = types.submodule { options.x = mkOption { type = types.int; default = 1; }; };
            default = { };
          };
        })
        [ { } ];
    expected.inner.x = 1;
  };
  in-list = {
    expr = map (u: u.home) (typed (types.listOf user) [ [ { name = "a"; } { name = "b"; } ] ]);
    expected = [
      "/home/a"
      "/home/b"
    ];
  };
  null-or-submodule = {
    expr = typed (types.nullOr user) [ null ];
    expected = null;
  };
  with-special-arguments = {
    expr = typed (types.submoduleWith {
      specialArgs.n = 5;
      modules = [
        (
          { n, ... }:
          {
            options.x = mkOption {
              type = types.int;
              default = n;
            };
          }
        )
      ];
    }) [ { } ];
    expected.x = 5;
  };
  # How a module adds options to another module's submodules.
  declared-by-two = {
    expr = config [
      {
        options.m = mkOption {
          type = types.attrsOf (types.submodule { options.a = mkOption { type = types.int; default = 1; }; });
        };
      }
      {
        options.m = mkOption {
          type = types.attrsOf (types.submodule { options.b = mkOption { type = types.int; default = 2; }; });
        };
      }
      { m.x = { }; }
    ];
    expected.m.x = {
      a = 1;
      b = 2;
    };
  };
  freeform-submodule = {
    expr = typed (types.submodule {
      freeformType = types.attrsOf types.str;
      options.a = mkOption {
        type = types.int;
        default = 1;
      };
    }) [ { b = "x"; } ];
    expected = {
      a = 1;
      b = "x";
    };
  };
  unknown-inside = {
    expr = typed (types.attrsOf user) [ { ann.grops = [ ]; } ];
    error = [
      "The option .it.ann.grops. does not exist"
      "Did you mean .it.ann.groups."
    ];
  };
  wrong-inside = {
    expr = typed (types.attrsOf user) [ { ann.home = 1; } ];
    error = [
      "A definition for option .it.ann.home. is not of type .string"
      "- In .<unknown-file>.: 1"
    ];
  };
  not-a-set = {
    expr = typed (types.attrsOf user) [ { ann = 1; } ];
    error = [ "A definition for option .it.ann. is not of type .submodule" ];
  };
}
