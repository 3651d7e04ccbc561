# What a person is told: which option, in which file, with which value, and what was meant.
{
  lib,
  config,
  ...
}:
let
  inherit (lib) mkOption types;
  options.image = mkOption {
    type = types.int;
    default = 1;
  };
  options.limits.memory = mkOption {
    type = types.int;
    default = 1;
  };
  base = { inherit options; };
in
{
  unknown = {
    expr = config [
      base
      {
        _file = "cloud.nix";
        imgae = "x";
      }
    ];
    error = [
      "The option .imgae. does not exist. Definition values:"
      "- In .cloud.nix.: \"x\""
      "Did you mean .image.\\?"
    ];
  };
  unknown-far-off = {
    expr = config [
      base
      { zzzzzz = 1; }
    ];
    error = [ "The option .zzzzzz. does not exist" ];
  };
  unknown-nested = {
    expr = config [
      base
      { limits.memroy = 1; }
    ];
    error = [ "The option .limits.memroy. does not exist" ];
  };
  unknown-all-told = {
    expr = config [
      base
      {
        aaaa = 1;
        bbbb = 2;
      }
    ];
    error = [
      "The option .aaaa. does not exist"
      "The option .bbbb. does not exist"
    ];
  };
  value-for-set = {
    expr = config [
      base
      { limits = 5; }
    ];
    error = [
      ".limits. is a set of options, but it is given an integer"
      "Did you mean one of .limits.memory."
    ];
  };
  wrong-type = {
    expr = config [
      base
      {
        _file = "cloud.nix";
        image = {
          a = [ 1 ];
        };
      }
    ];
    error = [
      "A definition for option .image. is not of type .signed integer"
      "- In .cloud.nix.: \\{ a = \\[ 1 \\]; \\}"
    ];
  };
  conflict = {
    expr = config [
      base
      {
        _file = "one.nix";
        image = 2;
      }
      {
        _file = "two.nix";
        image = 3;
      }
    ];
    error = [
      "The option .image. has conflicting definition values"
      "- In .one.nix.: 2"
      "- In .two.nix.: 3"
      "lib.mkForce"
    ];
  };
  missing = {
    expr = config [ { options.a.b = mkOption { type = types.int; }; } ];
    error = [ "The option .a.b. was accessed but has no value defined" ];
  };
  read-only-twice = {
    expr = config [
      {
        options.a = mkOption {
          type = types.int;
          default = 1;
          readOnly = true;
        };
      }
      { a = 4; }
    ];
    error = [ "The option .a. is read-only" ];
  };
  recursion = {
    expr = config [
      {
        options.a = mkOption { type = types.int; };
        options.b = mkOption { type = types.int; };
      }
      (
        { config, ... }:
        {
          a = config.b;
          b = config.a;
        }
      )
    ];
    error = [ "infinite recursion" ];
  };
  stray = {
    expr = config [
      {
        inherit options;
        image = 1;
      }
    ];
    error = [ "has .image. beside .config. or .options." ];
  };
  module-list = {
    expr = config [ [ base ] ];
    error = [ "is a list" ];
  };
  module-number = {
    expr = config [ (_: 1) ];
    error = [ "is an integer, not an attribute set" ];
  };
  module-missing-argument = {
    expr = config [
      base
      ({ nowhere, ... }: { image = nowhere; })
    ];
    error = [ "nowhere" ];
  };
  option-and-set = {
    expr = config [
      base
      { options.limits = mkOption { type = types.int; }; }
    ];
    error = [ "would be a parent of the following options" ];
  };
  # A value that throws does not hide the message about it.
  broken-value = {
    expr = config [
      base
      { imgae = throw "broken"; }
    ];
    error = [ "The option .imgae. does not exist" ];
  };
}
