# What a person reads, whole: the option, what was expected, and every definition with its file.
{ lib, config, ... }:
let
  inherit (lib) mkForce mkIf mkOption;
  t = lib.types;
  option = type: { options.it = mkOption { inherit type; }; };
  from = file: it: {
    _file = file;
    config = { inherit it; };
  };
  given = type: values: (config ([ (option type) ] ++ values)).it;
  deep = value: builtins.deepSeq value null;
  machine = t.attrsOf (
    t.submodule {
      options.cpus = mkOption { type = t.int; };
      options.disks = mkOption { type = t.listOf (t.submodule { options.size = mkOption { type = t.int; }; }); };
    }
  );
in
{
  wrong-type = {
    expr = given t.int [ (from "a.nix" "one") ];
    error = [
      "A definition for option .it. is not of type .signed integer.. Definition values:"
      "- In .a.nix.: \"one\""
    ];
  };
  wrong-type-only-the-wrong = {
    expr = given t.int [
      (from "a.nix" 1)
      (from "b.nix" [ 2 ])
      (from "c.nix" { x = 3; })
    ];
    error = [
      "- In .b.nix.: \\[ 2 \\]"
      "- In .c.nix.: \\{ x = 3; \\}"
    ];
  };
  wrong-element = {
    expr = deep (given (t.listOf t.int) [ (from "a.nix" [ 1 "x" ]) ]);
    error = [
      "A definition for option .it.\"\\[definition 1-entry 2\\]\". is not of type .signed integer."
      "- In .a.nix.: \"x\""
    ];
  };
  wrong-attribute = {
    expr = deep (given (t.attrsOf t.int) [ (from "a.nix" { "b c" = true; }) ]);
    error = [
      "A definition for option .it.\"b c\". is not of type .signed integer."
      "- In .a.nix.: true"
    ];
  };
  wrong-in-submodule = {
    expr = deep (given machine [ (from "a.nix" { web.cpus = "two"; }) ]);
    error = [
      "A definition for option .it.web.cpus. is not of type .signed integer."
      "- In .a.nix.: \"two\""
    ];
  };
  wrong-in-submodule-in-list = {
    expr = deep (given machine [
      (from "a.nix" {
        web = {
          cpus = 1;
          disks = [ { size = null; } ];
        };
      })
    ]);
    error = [
      "A definition for option .it.web.disks.\"\\[definition 1-entry 1\\]\".size. is not of type .signed integer."
      "- In .a.nix.: null"
    ];
  };
  wrong-default = {
    expr = given (t.submodule { options.a = mkOption { type = t.int; default = "x"; }; }) [ (from "a.nix" { }) ];
    error = [
      "A definition for option .*\\.a. is not of type .signed integer."
    ];
  };
  wrong-union = {
    expr = given (t.either t.int (t.listOf t.str)) [ (from "a.nix" true) ];
    error = [
      "option .it. is not of type .signed integer or list of string."
      "- In .a.nix.: true"
    ];
  };
  wrong-enum = {
    expr = given (t.enum [
      "a"
      "b"
    ]) [ (from "a.nix" "c") ];
    error = [
      "is not of type .one of \"a\", \"b\"."
      "- In .a.nix.: \"c\""
    ];
  };
  conflict-lists-all = {
    expr = given t.str [
      (from "a.nix" "x")
      (from "b.nix" "x")
      (from "c.nix" "y")
    ];
    error = [
      "The option .it. has conflicting definition values"
      "- In .a.nix.: \"x\""
      "- In .b.nix.: \"x\""
      "- In .c.nix.: \"y\""
      "Use .lib.mkForce value. or .lib.mkDefault value. to change the priority"
    ];
  };
  unique-twice = {
    expr = given (t.unique { message = "One at a time."; } t.int) [
      (from "a.nix" 1)
      (from "b.nix" 1)
    ];
    error = [
      "The option .it. is defined multiple times while it's expected to be unique"
      "One at a time."
      "- In .a.nix.: 1"
      "- In .b.nix.: 1"
    ];
  };
  cannot-merge = {
    expr = given t.unspecified [
      (from "a.nix" 1)
      (from "b.nix" "x")
    ];
    error = [
      "Cannot merge definitions of .it."
      "- In .a.nix.: 1"
      "- In .b.nix.: \"x\""
    ];
  };
  null-and-not = {
    expr = given (t.nullOr t.int) [
      (from "a.nix" null)
      (from "b.nix" 1)
    ];
    error = [ "The option .it. is defined both null and not null, in .b.nix. and .a.nix." ];
  };
  two-kinds = {
    expr = given t.anything [
      (from "a.nix" 1)
      (from "b.nix" { })
    ];
    error = [
      "The option .it. has conflicting option types"
      "- In .a.nix.: 1"
      "- In .b.nix.: \\{ \\}"
    ];
  };
  two-tags = {
    expr = deep (given (t.attrTag {
      a = mkOption { type = t.int; };
      b = mkOption { type = t.int; };
    }) [
      (from "a.nix" { a = 1; })
      (from "b.nix" { b = 1; })
    ]);
    error = [ "The option .it. is defined both as .b. and .a., in .b.nix. and .a.nix." ];
  };
  wrapped-the-wrong-way = {
    expr = given t.int [ (from "a.nix" (mkForce (mkIf true 1))) ];
    error = [
      "- In .a.nix.: <if>"
      "A condition or a merge goes around a priority"
    ];
  };
  unknown-in-submodule = {
    expr = deep (given machine [ (from "a.nix" { web.cpu = 2; }) ]);
    error = [
      "The option .it.web.cpu. does not exist. Definition values:"
      "- In .a.nix.: 2"
      "Did you mean .it.web.cpus.\\?"
    ];
  };
  unknown-in-two-files = {
    expr = config [
      (option t.int)
      {
        _file = "a.nix";
        ti = 1;
      }
      {
        _file = "b.nix";
        ti = 2;
      }
    ];
    error = [
      "The option .ti. does not exist"
      "- In .a.nix.: 1"
      "- In .b.nix.: 2"
      "Did you mean .it.\\?"
    ];
  };
  unknown-beginning = {
    expr = config [
      { options.services.enable = mkOption { type = t.bool; }; }
      { services.ena = true; }
    ];
    error = [ "Did you mean .services.enable.\\?" ];
  };
  options-below-config = {
    expr = config [ { config.it = mkOption { type = t.int; }; } ];
    error = [
      "The option .it. does not exist"
      "trying to declare an option by placing it into .config. rather than .options."
    ];
  };
  options-below-config-of-submodule = {
    expr = deep (given (t.submodule { config.a = mkOption { }; }) [ (from "a.nix" { }) ]);
    error = [
      "The option .it.a. does not exist"
      "There are no options in .it.: they belong under .options. of a module"
    ];
  };
  declared-twice = {
    expr = given t.int [
      {
        _file = "b.nix";
        options.it = mkOption { type = t.str; };
      }
      (from "a.nix" 1)
    ];
    error = [ "The option .it. in .<unknown-file>. is already declared in .b.nix." ];
  };
  option-and-parent = {
    expr = given t.int [
      {
        _file = "b.nix";
        options.it.more = mkOption { };
      }
    ];
    error = [
      "The option .it. in module .<unknown-file>. would be a parent of the following options, but its type .signed integer. does not support nested options"
      "- option.s. with prefix .it.more. in module .b.nix."
    ];
  };
  type-for-option = {
    expr = config [
      {
        _file = "a.nix";
        options.it = t.int;
      }
    ];
    error = [
      "In module a.nix: expected an option declaration at option path .it. but got an attribute set with type option-type"
      "lib.mkOption \\{ type"
    ];
  };
  no-value = {
    expr = deep (given machine [ (from "a.nix" { web.disks = [ ]; }) ]);
    error = [ "The option .it.web.cpus. was accessed but has no value defined. Try setting the option." ];
  };
  read-only = {
    expr = config [
      { options.it = mkOption { type = t.int; readOnly = true; }; }
      (from "a.nix" 1)
      (from "b.nix" 2)
    ];
    error = [
      "The option .it. is read-only, but it's set multiple times"
      "- In .a.nix.: 1"
      "- In .b.nix.: 2"
    ];
  };
  value-for-set = {
    expr = config [
      { options.a.b = mkOption { type = t.int; }; }
      {
        _file = "a.nix";
        a = 5;
      }
    ];
    error = [
      ".a. is a set of options, but it is given an integer"
      "- In .a.nix.: 5"
      "Did you mean one of .a.b.\\?"
    ];
  };
  condition-not-boolean = {
    expr = given t.int [ (from "a.nix" (mkIf "yes" 1)) ];
    error = [ "The condition of .mkIf. is string, not a boolean" ];
  };
  recursion-in-imports = {
    expr = config [
      (option t.int)
      ({ config, ... }: { imports = if config.it == 1 then [ ] else [ ]; })
    ];
    error = [ "infinite recursion" ];
  };
  module-class = {
    expr = (lib.evalModules {
      class = "cloud";
      modules = [
        {
          _file = "a.nix";
          _class = "nixos";
        }
      ];
    }).config;
    error = [ "The module .a.nix. .class: \"nixos\". cannot be imported into a module evaluation that expects class \"cloud\"" ];
  };
  module-of-other-kind = {
    expr = config [ { _file = "a.nix"; imports = [ { _type = "flake"; } ]; } ];
    error = [ "Expected a module, but found a value of type \"flake\", while trying to load a module into a.nix" ];
  };
  module-stray = {
    expr = config [
      {
        _file = "a.nix";
        config = { };
        services = 1;
      }
    ];
    error = [ "The module in .a.nix. has .services. beside .config. or .options." ];
  };
  module-in-brackets = {
    expr = config [ { _file = "a.nix"; imports = [ [ ] ]; } ];
    error = [ "A module in .a.nix. is a list" ];
  };
  removed = {
    expr =
      (config [
        { options.assertions = mkOption { type = t.listOf t.raw; }; }
        (lib.mkRemovedOptionModule [ "it" ] "Use `other'.")
        (from "a.nix" 1)
      ]).it;
    error = [ "The option .it. can no longer be used since it's been removed. Use .other." ];
  };
  argument-missing = {
    expr = given t.int [
      (
        { nowhere, ... }:
        {
          _file = "a.nix";
          it = nowhere;
        }
      )
    ];
    error = [ "nowhere" ];
  };
}
