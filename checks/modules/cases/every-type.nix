# Every type: what it takes, how it is called, how it merges.
{ lib, config, typed, ... }:
let
  inherit (lib) mkDefault mkForce mkIf mkMerge mkOption mkOrder mkBefore mkAfter mkOverride;
  t = lib.types;
  # What a type says of values one by one, by name of a type.
  accepts = type: map (value: type.check value);
  # Whether there is a value at all.
  fails = value: !(builtins.tryEval (builtins.deepSeq value null)).success;
in
{
  check-bool = {
    expr = accepts t.bool [ true 1 "true" null ];
    expected = [
      true
      false
      false
      false
    ];
  };
  check-int = {
    expr = accepts t.int [ 1 (-1) 1.0 "1" ];
    expected = [
      true
      true
      false
      false
    ];
  };
  check-u8 = {
    expr = accepts t.ints.u8 [ 0 255 256 (-1) ];
    expected = [
      true
      true
      false
      false
    ];
  };
  check-u16 = {
    expr = accepts t.port [ 0 65535 65536 "80" ];
    expected = [
      true
      true
      false
      false
    ];
  };
  check-u32 = {
    expr = accepts t.ints.u32 [ 4294967295 4294967296 ];
    expected = [
      true
      false
    ];
  };
  check-s8 = {
    expr = accepts t.ints.s8 [ 127 128 (-128) (-129) ];
    expected = [
      true
      false
      true
      false
    ];
  };
  check-s16 = {
    expr = accepts t.ints.s16 [ 32767 32768 (-32768) (-32769) ];
    expected = [
      true
      false
      true
      false
    ];
  };
  check-s32 = {
    expr = accepts t.ints.s32 [ 2147483647 2147483648 (-2147483648) ];
    expected = [
      true
      false
      true
    ];
  };
  check-positive = {
    expr = accepts t.ints.positive [ 1 0 (-1) 1.5 ];
    expected = [
      true
      false
      false
      false
    ];
  };
  check-unsigned = {
    expr = accepts t.ints.unsigned [ 1 0 (-1) ];
    expected = [
      true
      true
      false
    ];
  };
  check-between = {
    expr = accepts (t.ints.between 2 4) [ 1 2 4 5 2.5 ];
    expected = [
      false
      true
      true
      false
      false
    ];
  };
  check-float = {
    expr = accepts t.float [ 1.5 1 "1.5" ];
    expected = [
      true
      false
      false
    ];
  };
  check-number = {
    expr = accepts t.number [ 1.5 1 "1" ];
    expected = [
      true
      true
      false
    ];
  };
  check-numbers-between = {
    expr = accepts (t.numbers.between 0.5 2) [ 0.4 0.5 1 2 2.1 ];
    expected = [
      false
      true
      true
      true
      false
    ];
  };
  check-numbers-positive = {
    expr = accepts t.numbers.positive [ 0 0.1 1 (-1) ];
    expected = [
      false
      true
      true
      false
    ];
  };
  check-numbers-nonnegative = {
    expr = accepts t.numbers.nonnegative [ 0 0.1 (-0.1) ];
    expected = [
      true
      true
      false
    ];
  };
  check-str = {
    expr = accepts t.str [ "" "a" 1 ./. null ];
    expected = [
      true
      true
      false
      false
      false
    ];
  };
  check-non-empty-str = {
    expr = accepts t.nonEmptyStr [ "" " \n" "a" 1 ];
    expected = [
      false
      false
      true
      false
    ];
  };
  check-single-line = {
    expr = accepts t.singleLineStr [ "a" "a\n" "a\nb" "\n" "" ];
    expected = [
      true
      true
      false
      true
      true
    ];
  };
  check-str-matching = {
    expr = accepts (t.strMatching "[a-z]+") [ "abc" "Abc" "" 1 ];
    expected = [
      true
      false
      false
      false
    ];
  };
  check-lines = {
    expr = accepts t.lines [ "a" 1 [ ] ];
    expected = [
      true
      false
      false
    ];
  };
  check-passwd = {
    expr = accepts (t.passwdEntry t.str) [ "a" "a:b" "a\nb" ];
    expected = [
      true
      false
      false
    ];
  };
  check-path = {
    expr = accepts t.path [ ./. "/a" "a" { outPath = "/x"; } 1 ];
    expected = [
      true
      true
      false
      true
      false
    ];
  };
  check-path-in-store = {
    expr = accepts t.pathInStore [ "/nix/store/d945ibfx9x185xf04b890y4f9g3cbb63-x" "/nix/store/d945ibfx9x185xf04b890y4f9g3cbb63-x/y" "/nix/store" "/nix/store/.links" "/a" ];
    expected = [
      true
      true
      false
      false
      false
    ];
  };
  check-external-path = {
    expr = accepts t.externalPath [ "/a" "a" "/nix/store/d945ibfx9x185xf04b890y4f9g3cbb63-x" ];
    expected = [
      true
      false
      false
    ];
  };
  check-path-with = {
    expr = accepts (t.pathWith { absolute = false; }) [ "/a" "a" "./a" ];
    expected = [
      false
      true
      true
    ];
  };
  check-package = {
    expr = accepts t.package [ { type = "derivation"; } "/nix/store/d945ibfx9x185xf04b890y4f9g3cbb63-x" "/bin" { } ];
    expected = [
      true
      true
      false
      false
    ];
  };
  check-shell-package = {
    expr = accepts t.shellPackage [ { type = "derivation"; shellPath = "/bin/x"; } { type = "derivation"; } ];
    expected = [
      true
      false
    ];
  };
  check-enum = {
    expr = accepts (t.enum [ "a" 1 null ]) [ "a" 1 null "b" ];
    expected = [
      true
      true
      true
      false
    ];
  };
  check-raw = {
    expr = accepts t.raw [ 1 (x: x) { } ];
    expected = [
      true
      true
      true
    ];
  };
  check-attrs = {
    expr = accepts t.attrs [ { } [ ] 1 ];
    expected = [
      true
      false
      false
    ];
  };
  check-list-of = {
    expr = accepts (t.listOf t.int) [ [ ] [ "x" ] { } 1 ];
    expected = [
      true
      true
      false
      false
    ];
  };
  check-non-empty-list = {
    expr = accepts (t.nonEmptyListOf t.int) [ [ ] [ 1 ] ];
    expected = [
      false
      true
    ];
  };
  check-attrs-of = {
    expr = accepts (t.attrsOf t.int) [ { } { a = "x"; } [ ] ];
    expected = [
      true
      true
      false
    ];
  };
  check-null-or = {
    expr = accepts (t.nullOr t.int) [ null 1 "x" ];
    expected = [
      true
      true
      false
    ];
  };
  check-either = {
    expr = accepts (t.either t.int t.str) [ 1 "x" null ];
    expected = [
      true
      true
      false
    ];
  };
  check-one-of = {
    expr = accepts (t.oneOf [ t.int t.str t.bool ]) [ 1 "x" true null ];
    expected = [
      true
      true
      true
      false
    ];
  };
  check-coerced = {
    expr = accepts (t.coercedTo t.int toString t.str) [ 1 "x" null ];
    expected = [
      true
      true
      false
    ];
  };
  check-coerced-strict = {
    expr = accepts (t.coercedTo t.str (x: 5) (t.ints.between 0 3)) [ 1 "x" ];
    expected = [
      true
      false
    ];
  };
  check-function = {
    expr = accepts (t.functionTo t.int) [ (x: x) { __functor = s: x: x; } 1 ];
    expected = [
      true
      true
      false
    ];
  };
  check-submodule = {
    expr = accepts (t.submodule { }) [ { } (x: x) ./. "/a" 1 ];
    expected = [
      true
      true
      true
      true
      false
    ];
  };
  check-deferred = {
    expr = accepts t.deferredModule [ { } (x: x) ./. 1 ];
    expected = [
      true
      true
      true
      false
    ];
  };
  check-attr-tag = {
    expr = accepts (t.attrTag { a = mkOption { type = t.int; }; }) [ { a = 1; } { b = 1; } { a = 1; b = 2; } { } ];
    expected = [
      true
      false
      false
      false
    ];
  };
  check-attr-list = {
    expr = accepts (t.attrListOf t.int) [ { } [ ] 1 ];
    expected = [
      true
      true
      false
    ];
  };
  check-option-type = {
    expr = accepts t.optionType [ t.int 1 ];
    expected = [
      true
      false
    ];
  };
  check-option-declaration = {
    expr = accepts t.optionDeclaration [ (mkOption { }) 1 ];
    expected = [
      true
      false
    ];
  };
  check-add-check = {
    expr = accepts (t.addCheck t.int (x: x != 3)) [ 2 3 "x" ];
    expected = [
      true
      false
      false
    ];
  };
  check-lua = {
    expr = accepts t.luaInline [ (lib.generators.mkLuaInline "x") "x" ];
    expected = [
      true
      false
    ];
  };
  check-json = {
    expr = accepts t.json [ null 1 "x" [ 1 ] { a = 1; } (x: x) ];
    expected = [
      true
      true
      true
      true
      true
      false
    ];
  };
  check-toml = {
    expr = accepts t.toml [ null 1 [ ] ];
    expected = [
      false
      true
      true
    ];
  };
  check-pkgs = {
    expr = accepts t.pkgs [ { _type = "pkgs"; } { } ];
    expected = [
      true
      false
    ];
  };
  described-simple = {
    expr = map (n: t.${n}.description) [ "bool" "boolByOr" "int" "float" "number" "str" "nonEmptyStr" "singleLineStr" "lines" "commas" "envVar" "path" "pathInStore" "externalPath" "package" "raw" "anything" "unspecified" "attrs" "port" "optionType" "deferredModule" "luaInline" "json" "toml" "pkgs" ];
    expected = [
      "boolean"
      "boolean (merged using or)"
      "signed integer"
      "floating point number"
      "signed integer or floating point number"
      "string"
      "non-empty string"
      "(optionally newline-terminated) single-line string"
      "strings concatenated with \"\\n\""
      "strings concatenated with \",\""
      "strings concatenated with \":\""
      "absolute path"
      "path in the Nix store"
      "absolute path not in the Nix store"
      "package"
      "raw value"
      "anything"
      "unspecified value"
      "attribute set"
      "16 bit unsigned integer; between 0 and 65535 (both inclusive)"
      "optionType"
      "module"
      "inline lua"
      "JSON value"
      "TOML value"
      "Nixpkgs package set"
    ];
  };
  described-numbers = {
    expr = map (x: x.description) [ t.ints.u8 t.ints.s32 t.ints.positive t.ints.unsigned (t.ints.between 1 2) t.numbers.positive (t.numbers.between 0 1.5) ];
    expected = [
      "8 bit unsigned integer; between 0 and 255 (both inclusive)"
      "32 bit signed integer; between -2147483648 and 2147483647 (both inclusive)"
      "positive integer, meaning >0"
      "unsigned integer, meaning >=0"
      "integer between 1 and 2 (both inclusive)"
      "positive integer or floating point number, meaning >0"
      "integer or floating point number between 0 and 1.5 (both inclusive)"
    ];
  };
  described-enum = {
    expr = map (x: (t.enum x).description) [ [ ] [ "a" ] [ "a" 1 true null [ ] ] ];
    expected = [
      "impossible (empty enum)"
      "value \"a\" (singular enum)"
      "one of \"a\", 1, true, <null>, <list>"
    ];
  };
  described-wrapped = {
    expr = map (x: x.description) [ (t.listOf t.int) (t.listOf (t.nullOr t.int)) (t.nullOr (t.listOf t.int)) (t.attrsOf t.ints.positive) (t.lazyAttrsOf (t.either t.int t.str)) (t.nonEmptyListOf t.str) (t.uniq t.int) (t.functionTo t.int) (t.attrListOf t.str) (t.passwdEntry t.str) (t.strMatching "a.b") (t.separatedString "::") ];
    expected = [
      "list of signed integer"
      "list of (null or signed integer)"
      "null or (list of signed integer)"
      "attribute set of (positive integer, meaning >0)"
      "lazy attribute set of (signed integer or string)"
      "non-empty (list of string)"
      "signed integer"
      "function that evaluates to a(n) signed integer"
      "attribute list of string"
      "string, not containing newlines or colons"
      "string matching the pattern a.b"
      "strings concatenated with \"::\""
    ];
  };
  described-unions = {
    expr = map (x: x.description) [ (t.either t.int t.str) (t.either t.ints.positive (t.listOf t.int)) (t.either (t.either t.int t.str) t.bool) (t.nullOr (t.enum [ 1 2 ])) (t.coercedTo t.int toString t.str) (t.coercedTo (t.enum [ 1 2 ]) toString (t.listOf t.str)) (t.attrTag { b = mkOption { }; "a c" = mkOption { }; }) ];
    expected = [
      "signed integer or string"
      "positive integer, meaning >0, or (list of signed integer)"
      "signed integer or string or boolean"
      "null or one of 1, 2"
      "string or signed integer convertible to it"
      "(list of string) or (one of 1, 2) convertible to it"
      "attribute-tagged union with choices: \"a c\", b"
    ];
  };
  described-submodules = {
    expr = map (x: x.description) [ (t.submodule { }) (t.submodule { freeformType = t.attrsOf (t.either t.int t.str); }) (t.submoduleWith { modules = [ ]; description = "thing"; }) ];
    expected = [
      "submodule"
      "open submodule of attribute set of (signed integer or string)"
      "thing"
    ];
  };
  classes = {
    expr = map (x: x.descriptionClass) [ t.int t.ints.positive t.attrs (t.listOf t.int) (t.nullOr t.int) (t.enum [ 1 ]) (t.enum [ 1 2 ]) t.port (t.submodule { }) ];
    expected = [
      "noun"
      "nonRestrictiveClause"
      null
      "composite"
      "conjunction"
      "noun"
      "conjunction"
      "noun"
      null
    ];
  };
  names = {
    expr = map (x: x.name) [ t.int t.port t.lines t.path t.pathInStore (t.listOf t.int) (t.attrsOf t.int) (t.lazyAttrsOf t.int) (t.nullOr t.int) (t.either t.int t.str) (t.enum [ ]) (t.submodule { }) (t.strMatching "a\"b") (t.uniq t.int) (t.attrListOf t.int) (t.ints.between 0 1) ];
    expected = [
      "int"
      "unsignedInt16"
      "separatedString"
      "path"
      "path"
      "listOf"
      "attrsOf"
      "lazyAttrsOf"
      "nullOr"
      "either"
      "enum"
      "submodule"
      "strMatching \"a\\\"b\""
      "unique"
      "attrListOf"
      "intBetween"
    ];
  };
  empty-values = {
    expr = map (x: x.emptyValue) [ t.int (t.listOf t.int) (t.attrsOf t.int) (t.nullOr t.int) (t.nonEmptyListOf t.int) t.attrs (t.uniq (t.listOf t.int)) (t.coercedTo t.int (x: [ x ]) (t.listOf t.int)) ];
    expected = [
      { }
      {
        value = [ ];
      }
      {
        value = { };
      }
      {
        value = null;
      }
      { }
      {
        value = { };
      }
      {
        value = [ ];
      }
      {
        value = [ ];
      }
    ];
  };
  merge-bool = {
    expr = [ (typed t.bool [ true true ]) (fails (typed t.bool [ true false ])) ];
    expected = [
      true
      true
    ];
  };
  merge-bool-by-or = {
    expr = [ (typed t.boolByOr [ true false ]) (typed t.boolByOr [ false false ]) ];
    expected = [
      true
      false
    ];
  };
  merge-lines = {
    expr = typed t.lines [ "a" "b" (mkBefore "c") ];
    expected = "c\nb\na";
  };
  merge-commas = {
    expr = typed t.commas [ "a" "b" ];
    expected = "b,a";
  };
  merge-env-var = {
    expr = typed t.envVar [ "a" "b" ];
    expected = "b:a";
  };
  merge-single-line = {
    expr = [ (typed t.singleLineStr [ "a\n" ]) (typed t.singleLineStr [ "a\n" "a\n" ]) ];
    expected = [
      "a"
      "a"
    ];
  };
  merge-package = {
    expr = let p = typed t.package [ { type = "derivation"; name = "x"; } ]; in p.name;
    expected = "x";
  };
  merge-attrs = {
    expr = typed t.attrs [ { a = 1; c = 1; } { b = 2; c = 2; } ];
    expected = {
      a = 1;
      b = 2;
      c = 1;
    };
  };
  merge-unspecified = {
    expr = [ (typed t.unspecified [ [ 1 ] [ 2 ] ]) (typed t.unspecified [ "a" "b" ]) (typed t.unspecified [ true false ]) (typed t.unspecified [ { a = 1; } { b = 1; } ]) (fails (typed t.unspecified [ 1 2 ])) (typed t.unspecified [ 1 1 ]) ];
    expected = [
      [
        2
        1
      ]
      "ba"
      true
      {
        a = 1;
        b = 1;
      }
      true
      1
    ];
  };
  merge-raw = {
    expr = [ (typed t.raw [ (mkForce 1) 2 ]) (fails (typed t.raw [ 1 1 ])) ];
    expected = [
      1
      true
    ];
  };
  merge-list = {
    expr = typed (t.listOf t.int) [ [ 1 2 ] [ 3 ] (mkAfter [ 4 ]) (mkIf false [ 5 ]) ];
    expected = [
      3
      1
      2
      4
    ];
  };
  merge-list-elements = {
    expr = typed (t.listOf t.int) [ [ 1 (mkIf false 2) (mkIf true 3) (mkMerge [ ]) ] ];
    expected = [
      1
      3
    ];
  };
  merge-list-nested = {
    expr = typed (t.listOf (t.listOf t.int)) [ [ [ 1 ] (mkMerge [ [ 2 ] [ 3 ] ]) ] [ [ 4 ] ] ];
    expected = [
      [
        4
      ]
      [
        1
      ]
      [
        2
        3
      ]
    ];
  };
  merge-attrs-of = {
    expr = typed (t.attrsOf t.int) [ { a = 1; } { b = mkDefault 2; } { b = 3; c = mkIf false 4; } (mkIf false { d = 5; }) ];
    expected = {
      a = 1;
      b = 3;
    };
  };
  merge-attrs-of-force = {
    expr = typed (t.attrsOf t.int) [ { a = 1; } (mkForce { b = 2; }) ];
    expected = {
      b = 2;
    };
  };
  merge-attrs-of-merge = {
    expr = typed (t.attrsOf (t.listOf t.int)) [ (mkMerge [ { a = [ 1 ]; } { a = [ 2 ]; } ]) { a = mkBefore [ 0 ]; } ];
    expected = {
      a = [
        0
        1
        2
      ];
    };
  };
  merge-lazy-attrs = {
    expr = builtins.attrNames (typed (t.lazyAttrsOf t.int) [ { a = mkIf false 1; b = throw "never"; } ]);
    expected = [
      "a"
      "b"
    ];
  };
  merge-lazy-attrs-empty = {
    expr = (typed (t.lazyAttrsOf (t.nullOr t.int)) [ { a = mkIf false 1; } ]).a;
    expected = null;
  };
  merge-attrs-with = {
    expr = typed (t.attrsWith { elemType = t.int; lazy = true; placeholder = "id"; }) [ { a = 1; } ];
    expected = {
      a = 1;
    };
  };
  merge-null-or = {
    expr = [ (typed (t.nullOr t.int) [ null null ]) (typed (t.nullOr (t.listOf t.int)) [ [ 1 ] [ 2 ] ]) (fails (typed (t.nullOr t.int) [ null 1 ])) (typed (t.nullOr t.int) [ null (mkForce 1) ]) ];
    expected = [
      null
      [
        2
        1
      ]
      true
      1
    ];
  };
  merge-either = {
    expr = [ (typed (t.either t.int (t.listOf t.int)) [ [ 1 ] [ 2 ] ]) (typed (t.either t.int t.str) [ 1 1 ]) (fails (typed (t.either t.int t.str) [ 1 "a" ])) ];
    expected = [
      [
        2
        1
      ]
      1
      true
    ];
  };
  merge-coerced = {
    expr = [ (typed (t.coercedTo t.int (x: [ x ]) (t.listOf t.int)) [ 1 [ 2 ] ]) (typed (t.coercedTo t.str lib.toInt t.int) [ "7" ]) ];
    expected = [
      [
        2
        1
      ]
      7
    ];
  };
  merge-coerced-nested = {
    expr = typed (t.attrsOf (t.coercedTo t.str (s: { n = s; }) (t.submodule { options.n = mkOption { type = t.str; }; }))) [ { a = "x"; b.n = "y"; } ];
    expected = {
      a = {
        n = "x";
      };
      b = {
        n = "y";
      };
    };
  };
  merge-unique = {
    expr = [ (typed (t.uniq (t.listOf t.int)) [ [ 1 ] ]) (fails (typed (t.uniq (t.listOf t.int)) [ [ 1 ] [ 2 ] ])) (typed (t.unique { message = "m"; } t.int) [ 1 ]) ];
    expected = [
      [
        1
      ]
      true
      1
    ];
  };
  merge-function = {
    expr = let f = typed (t.functionTo (t.listOf t.int)) [ (x: [ x ]) (x: [ (x + 1) ]) ]; in [ (f 1) (lib.functionArgs (typed (t.functionTo t.int) [ ({ a, b ? 1 }: a) ])) ];
    expected = [
      [
        2
        1
      ]
      {
        a = false;
        b = true;
      }
    ];
  };
  merge-anything = {
    expr = typed t.anything [ { a = 1; b.c = mkDefault 2; l = [ 1 ]; } { b.c = 3; b.d = mkIf false 4; l = [ 1 ]; } ];
    expected = {
      a = 1;
      b = {
        c = 3;
      };
      l = [
        1
      ];
    };
  };
  merge-anything-functions = {
    expr = (typed t.anything [ (x: { a = x; }) (x: { b = x; }) ]) 1;
    expected = {
      a = 1;
      b = 1;
    };
  };
  merge-anything-conflict = {
    expr = map fails [ (typed t.anything [ 1 2 ]) (typed t.anything [ 1 "a" ]) (typed t.anything [ [ 1 ] [ 2 ] ]) ];
    expected = [
      true
      true
      true
    ];
  };
  merge-enum = {
    expr = [ (typed (t.enum [ 1 2 ]) [ 1 1 ]) (fails (typed (t.enum [ 1 2 ]) [ 1 2 ])) (fails (typed (t.enum [ 1 2 ]) [ 3 ])) ];
    expected = [
      1
      true
      true
    ];
  };
  merge-attr-tag = {
    expr = let tag = t.attrTag { a = mkOption { type = t.listOf t.int; }; b = mkOption { type = t.int; apply = x: x + 1; }; }; in [ (typed tag [ { a = [ 1 ]; } { a = [ 2 ]; } ]) (typed tag [ { b = 1; } ]) (fails (typed tag [ { a = [ ]; } { b = 1; } ])) (fails (typed tag [ { c = 1; } ])) ];
    expected = [
      {
        a = [
          2
          1
        ];
      }
      {
        b = 2;
      }
      true
      true
    ];
  };
  merge-attr-list = {
    expr = typed (t.attrListOf t.int) [ [ { a = 1; } { b = 2; } ] { c = mkBefore 3; } (mkAfter [ { a = 4; } ]) ];
    expected = [
      {
        c = 3;
      }
      {
        a = 1;
      }
      {
        b = 2;
      }
      {
        a = 4;
      }
    ];
  };
  merge-attr-list-force = {
    expr = typed (t.attrListOf t.int) [ [ { a = 1; } { a = mkForce 2; } { b = mkIf false 3; } ] ];
    expected = [
      {
        a = 2;
      }
    ];
  };
  merge-attr-list-attrs = {
    expr = typed (t.attrListWith { elemType = t.int; asAttrs = true; }) [ [ { a = 1; } ] { a = 2; b = 3; } ];
    expected = {
      a = [
        2
        1
      ];
      b = [
        3
      ];
    };
  };
  merge-json = {
    expr = typed t.json [ { a = [ 1 "x" null ]; } { b.c = 1.5; } ];
    expected = {
      a = [
        1
        "x"
        null
      ];
      b = {
        c = 1.5;
      };
    };
  };
  merge-json-wrong = {
    expr = fails (typed t.json [ { a = x: x; } ]);
    expected = true;
  };
  merge-deferred = {
    expr = let m = typed t.deferredModule [ { a = 1; } ({ lib, ... }: { a = lib.mkForce 2; }) ]; in config [ m { options.a = mkOption { type = t.int; }; } ];
    expected = {
      a = 2;
    };
  };
  merge-deferred-with = {
    expr = let m = typed (t.deferredModuleWith { staticModules = [ { options.a = mkOption { default = 3; type = t.int; }; } ]; }) [ { } ]; in config [ m ];
    expected = {
      a = 3;
    };
  };
  merge-option-type = {
    expr = (typed t.optionType [ (t.enum [ 1 ]) (t.enum [ 2 ]) ]).description;
    expected = "one of 2, 1";
  };
  merge-add-check = {
    expr = [ (typed (t.addCheck t.int (x: x > 1)) [ 2 ]) (fails (typed (t.addCheck t.int (x: x > 1)) [ 1 ])) (fails (typed (t.addCheck (t.attrsOf t.int) (x: x ? a)) [ { } ])) ];
    expected = [
      2
      true
      true
    ];
  };
  merge-own-type = {
    expr = typed (lib.mkOptionType { name = "mine"; check = builtins.isInt; merge = loc: defs: builtins.foldl' (a: d: a + d.value) 0 defs; }) [ 1 2 3 ];
    expected = 6;
  };
  merge-own-default = {
    expr = typed (lib.mkOptionType { name = "mine"; }) [ [ 1 ] [ 2 ] ];
    expected = [
      2
      1
    ];
  };
  both-enums = {
    expr = ((t.enum [ 1 2 ]).typeMerge (t.enum [ 2 3 ]).functor).description;
    expected = "one of 1, 2, 3";
  };
  both-lists = {
    expr = ((t.listOf (t.enum [ 1 ])).typeMerge (t.listOf (t.enum [ 2 ])).functor).description;
    expected = "list of (one of 1, 2)";
  };
  both-kinds = {
    expr = map (x: x == null) [ (t.int.typeMerge t.str.functor) (t.int.typeMerge t.int.functor) ((t.listOf t.int).typeMerge (t.listOf t.str).functor) ((t.strMatching "a").typeMerge (t.strMatching "b").functor) (t.lines.typeMerge t.commas.functor) ((t.attrsOf t.int).typeMerge (t.lazyAttrsOf t.int).functor) (t.path.typeMerge t.pathInStore.functor) ((t.coercedTo t.int toString t.str).typeMerge (t.coercedTo t.int toString t.str).functor) ];
    expected = [
      true
      false
      true
      true
      true
      true
      true
      true
    ];
  };
  both-unions = {
    expr = ((t.either t.int (t.enum [ 1 ])).typeMerge (t.either t.int (t.enum [ 2 ])).functor).description;
    expected = "signed integer or one of 1, 2";
  };
  both-placeholders = {
    expr = ((t.attrsWith { elemType = t.int; placeholder = "id"; }).typeMerge (t.attrsOf t.int).functor).description;
    expected = "attribute set of signed integer";
  };
  merge-types = {
    expr = [ (t.mergeTypes (t.enum [ 1 ]) (t.enum [ 2 ])).description (t.mergeTypes t.int t.str)._type ];
    expected = [
      "one of 1, 2"
      "merge-error"
    ];
  };
  nested-types = {
    expr = map (x: builtins.attrNames x.nestedTypes) [ t.int (t.listOf t.int) (t.either t.int t.str) (t.coercedTo t.int toString t.str) (t.attrTag { a = mkOption { }; }) ];
    expected = [
      [ ]
      [
        "elemType"
      ]
      [
        "left"
        "right"
      ]
      [
        "coercedType"
        "finalType"
      ]
      [
        "a"
      ]
    ];
  };
  value-meta = {
    expr = let e = lib.evalModules { modules = [ { options.a = mkOption { type = t.attrsOf (t.submodule { options.b = mkOption { default = 1; }; }); }; options.l = mkOption { type = t.listOf t.int; }; options.s = mkOption { type = t.str; }; config = { a.x = { }; l = [ 1 2 ]; s = ""; }; } ]; }; in [ e.options.a.valueMeta.attrs.x.configuration.config (builtins.length e.options.l.valueMeta.list) e.options.s.valueMeta ];
    expected = [
      {
        b = 1;
      }
      2
      { }
    ];
  };
  ad-hoc-check = {
    expr = fails (typed (t.attrsOf t.int // { check = x: true; }) [ { a = 1; } ]);
    expected = true;
  };
}
