# What each type takes, and how it merges.
{
  lib,
  typed,
  config,
  ...
}:
let
  inherit (lib) types mkOption;
  ok = type: value: {
    expr = typed type [ value ];
    expected = value;
  };
  wrong = type: value: description: {
    expr = typed type [ value ];
    error = [ "A definition for option .it. is not of type .${description}" ];
  };
  clash = type: values: {
    expr = typed type values;
    error = [ "The option .it. has conflicting definition values" ];
  };
in
{
  bool = ok types.bool true;
  bool-wrong = wrong types.bool 1 "boolean";
  bool-clash = clash types.bool [
    true
    false
  ];
  int = ok types.int (-3);
  int-same-twice = {
    expr = typed types.int [
      3
      3
    ];
    expected = 3;
  };
  int-wrong = wrong types.int "3" "signed integer";
  between = ok (types.ints.between 1 3) 3;
  between-wrong = wrong (types.ints.between 1 3) 4 "integer between 1 and 3";
  unsigned = ok types.ints.unsigned 0;
  unsigned-wrong = wrong types.ints.unsigned (-1) "unsigned integer";
  positive-wrong = wrong types.ints.positive 0 "positive integer";
  u8-wrong = wrong types.ints.u8 256 "";
  port = ok types.port 65535;
  port-wrong = wrong types.port 65536 "16 bit unsigned integer";
  float = ok types.float 0.5;
  float-wrong = wrong types.float 1 "floating point number";
  number = ok types.number 1;
  str = ok types.str "";
  str-wrong = wrong types.str 1 "string";
  str-clash = clash types.str [
    "a"
    "b"
  ];
  non-empty = ok types.nonEmptyStr "x";
  non-empty-wrong = wrong types.nonEmptyStr " " "non-empty string";
  matching = ok (types.strMatching "[a-z]+") "abc";
  matching-wrong = wrong (types.strMatching "[a-z]+") "ABC" "string matching the pattern";
  single-line-wrong = wrong types.singleLineStr "a\nb" "";
  lines = {
    expr = typed types.lines [
      "a"
      "b"
    ];
    expected = "b\na";
  };
  commas = {
    expr = typed types.commas [
      "a"
      "b"
    ];
    expected = "b,a";
  };
  path = ok types.path "/a/b";
  path-wrong = wrong types.path "a/b" "absolute path";
  package = {
    expr =
      (typed types.package [
        (derivation {
          name = "x";
          system = "s";
          builder = "b";
        })
      ]).name;
    expected = "x";
  };
  package-wrong = wrong types.package { } "package";
  enum = ok (types.enum [
    "a"
    "b"
  ]) "b";
  enum-wrong = wrong (types.enum [
    "a"
    "b"
  ]) "c" "one of \"a\", \"b\"";
  raw = ok types.raw { a = 1; };
  raw-twice = {
    expr = typed types.raw [
      1
      1
    ];
    error = [ "The option .it. is defined multiple times" ];
  };
  attrs = {
    expr = typed types.attrs [
      { a = 1; }
      { b = 2; }
    ];
    expected = {
      a = 1;
      b = 2;
    };
  };
  anything = {
    expr = typed types.anything [
      {
        a.b = 1;
        same = [ 1 ];
      }
      {
        a.c = 2;
        same = [ 1 ];
      }
    ];
    expected = {
      a = {
        b = 1;
        c = 2;
      };
      same = [ 1 ];
    };
  };
  anything-clash = {
    expr = typed types.anything [
      { a.b = 1; }
      { a.b = 2; }
    ];
    error = [ "The option .it.a.b. has conflicting" ];
  };

  list = {
    expr = typed (types.listOf types.int) [
      [ 1 ]
      [
        2
        3
      ]
    ];
    expected = [
      2
      3
      1
    ];
  };
  list-conditions = {
    expr = typed (types.listOf types.int) [
      [
        (lib.mkIf false 1)
        (lib.mkIf true 2)
      ]
    ];
    expected = [ 2 ];
  };
  list-wrong = wrong (types.listOf types.int) 1 "list of signed integer";
  list-element-wrong = {
    expr = typed (types.listOf types.int) [ [ "a" ] ];
    error = [ "not of type .signed integer" ];
  };
  attrs-of = {
    expr = typed (types.attrsOf types.int) [
      { a = 1; }
      {
        b = 2;
        gone = lib.mkIf false 3;
      }
    ];
    expected = {
      a = 1;
      b = 2;
    };
  };
  attrs-of-element-wrong = {
    expr = typed (types.attrsOf types.int) [ { a = "x"; } ];
    error = [ "A definition for option .it.a. is not of type .signed integer" ];
  };
  lazy-attrs = {
    expr = builtins.attrNames (typed (types.lazyAttrsOf types.int) [ { a = throw "not needed"; } ]);
    expected = [ "a" ];
  };
  lazy-attrs-empty = {
    expr = typed (types.lazyAttrsOf (types.nullOr types.int)) [ { a = lib.mkIf false 1; } ];
    expected.a = null;
  };
  null-or = ok (types.nullOr types.int) null;
  null-or-some = ok (types.nullOr types.int) 1;
  null-or-wrong = wrong (types.nullOr types.int) "x" "null or signed integer";
  null-or-both = {
    expr = typed (types.nullOr types.int) [
      1
      null
    ];
    error = [ "both null and not null" ];
  };
  either = ok (types.either types.int types.str) "x";
  either-wrong = wrong (types.either types.int types.str) true "signed integer or string";
  one-of = ok (types.oneOf [
    types.int
    types.bool
    types.str
  ]) true;
  coerced = {
    expr = typed (types.coercedTo types.int toString types.str) [ 5 ];
    expected = "5";
  };
  coerced-in-place = {
    expr = typed (types.attrsOf (types.coercedTo types.int toString types.str)) [
      {
        a = 1;
        b = "2";
      }
    ];
    expected = {
      a = "1";
      b = "2";
    };
  };
  check-added = wrong (types.addCheck types.int (x: x > 5)) 3 "signed integer";
  unique-twice = {
    expr = typed (types.uniq types.int) [
      1
      1
    ];
    error = [ "defined multiple times" ];
  };
  function = {
    expr = (typed (types.functionTo (types.listOf types.int)) [
      (x: [ x ])
      (x: [ (x + 1) ])
    ]) 5;
    expected = [
      6
      5
    ];
  };
  enable = {
    expr = config [ { options.it = lib.mkEnableOption "it"; } ];
    expected.it = false;
  };
  declared-twice = {
    expr = config [
      { options.it = mkOption { type = types.enum [ "a" ]; }; }
      { options.it = mkOption { type = types.enum [ "b" ]; }; }
      { it = "b"; }
    ];
    expected.it = "b";
  };
  declared-twice-otherwise = {
    expr = config [
      { options.it = mkOption { type = types.int; }; }
      { options.it = mkOption { type = types.str; }; }
      { it = "b"; }
    ];
    error = [ "The option .it. in .* is already declared in" ];
  };
}
