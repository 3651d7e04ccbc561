# Plain functions, as nixpkgs' library has them.
{ lib, ... }:
with lib;
{
  optional = {
    expr = [ (optional true 1) (optional false 1) (optionals true [ 1 ]) (optionalString false "x") (optionalAttrs true { a = 1; }) ];
    expected = [
      [
        1
      ]
      [ ]
      [
        1
      ]
      ""
      {
        a = 1;
      }
    ];
  };
  flatten = {
    expr = flatten [ 1 [ 2 [ 3 ] ] [ ] ];
    expected = [
      1
      2
      3
    ];
  };
  range = {
    expr = [ (range 1 3) (range 3 1) ];
    expected = [
      [
        1
        2
        3
      ]
      [ ]
    ];
  };
  take-drop = {
    expr = [ (take 2 [ 1 2 3 ]) (take 9 [ 1 ]) (drop 2 [ 1 2 3 ]) (drop 9 [ 1 ]) (last [ 1 2 ]) (init [ 1 2 ]) (sublist 1 2 [ 1 2 3 4 ]) (takeEnd 2 [ 1 2 3 ]) (dropEnd 2 [ 1 2 3 ]) ];
    expected = [
      [
        1
        2
      ]
      [
        1
      ]
      [
        3
      ]
      [ ]
      2
      [
        1
      ]
      [
        2
        3
      ]
      [
        2
        3
      ]
      [
        1
      ]
    ];
  };
  folds = {
    expr = [ (foldr (x: s: "(${x}${s})") "z" [ "a" "b" ]) (foldl (s: x: "(${s}${x})") "z" [ "a" "b" ]) (foldl' (a: b: a + b) 0 [ 1 2 ]) (foldlAttrs (s: n: v: s + n + v) "" { a = "1"; b = "2"; }) ];
    expected = [
      "(a(bz))"
      "((za)b)"
      3
      "a1b2"
    ];
  };
  find = {
    expr = [ (findFirst (x: x > 1) null [ 1 2 3 ]) (findFirst (x: x > 9) null [ 1 ]) (findSingle (x: x == 1) "none" "many" [ 1 1 ]) (findSingle (x: x == 1) "none" "many" [ 2 ]) (lists.findFirstIndex (x: x == 3) null [ 1 3 ]) ];
    expected = [
      2
      null
      "many"
      "none"
      1
    ];
  };
  unique = {
    expr = [ (unique [ 3 1 3 2 1 ]) (lists.allUnique [ 1 1 ]) (remove 1 [ 1 2 1 ]) (count (x: x > 1) [ 1 2 3 ]) ];
    expected = [
      [
        3
        1
        2
      ]
      false
      [
        2
      ]
      2
    ];
  };
  sets-of-lists = {
    expr = [ (intersectLists [ 1 2 ] [ 2 3 2 ]) (subtractLists [ 1 2 ] [ 2 3 ]) (mutuallyExclusive [ 1 ] [ 2 ]) (mutuallyExclusive [ 1 ] [ 1 ]) ];
    expected = [
      [
        2
        2
      ]
      [
        3
      ]
      true
      false
    ];
  };
  sort-on = {
    expr = sortOn stringLength [ "ccc" "a" "bb" "d" ];
    expected = [
      "a"
      "d"
      "bb"
      "ccc"
    ];
  };
  compare-lists = {
    expr = [ (compareLists compare [ 1 2 ] [ 1 3 ]) (compareLists compare [ 1 ] [ ]) (compareLists compare [ ] [ ]) ];
    expected = [
      (-1)
      1
      0
    ];
  };
  natural-sort = {
    expr = naturalSort [ "disk11" "disk8" "disk100" "disk9" "v0.2" "v0.15" ];
    expected = [
      "disk8"
      "disk9"
      "disk11"
      "disk100"
      "v0.2"
      "v0.15"
    ];
  };
  zip = {
    expr = [ (zipLists [ 1 2 ] [ "a" "b" "c" ]) (zipListsWith (a: b: a + b) [ 1 2 ] [ 3 4 ]) (crossLists (a: b: "${toString a}${toString b}") [ [ 1 2 ] [ 3 4 ] ]) ];
    expected = [
      [
        {
          fst = 1;
          snd = "a";
        }
        {
          fst = 2;
          snd = "b";
        }
      ]
      [
        4
        6
      ]
      [
        "13"
        "14"
        "23"
        "24"
      ]
    ];
  };
  group-by = {
    expr = [ (groupBy (x: if x > 2 then "big" else "small") [ 1 2 3 ]) (groupBy' (a: b: a + b) 0 (x: if x > 2 then "big" else "small") [ 1 2 3 4 ]) ];
    expected = [
      {
        big = [
          3
        ];
        small = [
          1
          2
        ];
      }
      {
        big = 7;
        small = 3;
      }
    ];
  };
  imap = {
    expr = [ (imap0 (i: v: "${v}${toString i}") [ "a" "b" ]) (imap1 (i: v: "${v}${toString i}") [ "a" "b" ]) (forEach [ 1 2 ] (x: x * 2)) (singleton 1) (toList [ 1 ]) (toList 1) (reverseList [ 1 2 3 ]) (lists.ifilter0 (i: v: i == 0 || v > 2) [ 1 2 3 ]) ];
    expected = [
      [
        "a0"
        "b1"
      ]
      [
        "a1"
        "b2"
      ]
      [
        2
        4
      ]
      [
        1
      ]
      [
        1
      ]
      [
        1
      ]
      [
        3
        2
        1
      ]
      [
        1
        3
      ]
    ];
  };
  toposort = {
    expr = [ (toposort hasPrefix [ "/home/user" "other" "/" "/home" ]).result ];
    expected = [
      [
        "/"
        "/home"
        "/home/user"
        "other"
      ]
    ];
  };
  by-path = {
    expr = [ (attrByPath [ "a" "b" ] 0 { a.b = 1; }) (attrByPath [ "a" "c" ] 0 { a.b = 1; }) (hasAttrByPath [ "a" "b" ] { a.b = 1; }) (getAttrFromPath [ "a" ] { a = 1; }) (setAttrByPath [ "a" "b" ] 1) ];
    expected = [
      1
      0
      true
      1
      {
        a = {
          b = 1;
        };
      }
    ];
  };
  map-attrs = {
    expr = [ (mapAttrs' (n: v: nameValuePair "x${n}" (v + 1)) { a = 1; }) (mapAttrsToList (n: v: n + v) { a = "1"; }) (filterAttrs (n: v: v > 1) { a = 1; b = 2; }) (concatMapAttrs (n: v: { "${n}1" = v; "${n}2" = v; }) { a = 1; }) (genAttrs [ "a" "b" ] (n: n + n)) ];
    expected = [
      {
        xa = 2;
      }
      [
        "a1"
      ]
      {
        b = 2;
      }
      {
        a1 = 1;
        a2 = 1;
      }
      {
        a = "aa";
        b = "bb";
      }
    ];
  };
  attrs-recursive = {
    expr = [ (mapAttrsRecursive (path: v: concatStringsSep "-" (path ++ [ v ])) { a.b = "x"; c = "y"; }) (mapAttrsRecursiveCond (s: !(s ? leaf)) (p: v: 1) { a.leaf = 1; b.c = 2; }) (filterAttrsRecursive (n: v: v != null) { a = null; b.c = null; b.d = 1; }) ];
    expected = [
      {
        a = {
          b = "a-b-x";
        };
        c = "c-y";
      }
      {
        a = 1;
        b = {
          c = 1;
        };
      }
      {
        b = {
          d = 1;
        };
      }
    ];
  };
  update = {
    expr = [ (recursiveUpdate { a = { b = 1; c = 2; }; } { a.b = 3; d = 4; }) (recursiveUpdateUntil (path: l: r: path == [ "foo" ]) { foo.bar = 1; foo.baz = 2; bar = 3; } { foo.bar = 4; foo.quz = 5; baz = 6; }) (mergeAttrsList [ { a = 1; } { a = 2; b = 1; } ]) ];
    expected = [
      {
        a = {
          b = 3;
          c = 2;
        };
        d = 4;
      }
      {
        bar = 3;
        baz = 6;
        foo = {
          bar = 4;
          quz = 5;
        };
      }
      {
        a = 2;
        b = 1;
      }
    ];
  };
  collect = {
    expr = [ (collect isList { a.b = [ 1 ]; c = [ 2 ]; }) (collect (x: x ? out) { a = { out = 1; }; b.c = { out = 2; }; }) ];
    expected = [
      [
        [
          1
        ]
        [
          2
        ]
      ]
      [
        {
          out = 1;
        }
        {
          out = 2;
        }
      ]
    ];
  };
  attrs-misc = {
    expr = [ (cartesianProduct { a = [ 1 2 ]; b = [ 10 20 ]; }) (attrsToList { a = 1; }) (zipAttrs [ { a = 1; } { a = 2; b = 3; } ]) (zipAttrsWithNames [ "a" ] (n: vs: vs) [ { a = 1; b = 2; } ]) (attrVals [ "a" ] { a = 1; }) (getAttrs [ "a" ] { a = 1; b = 2; }) (catAttrs "a" [ { a = 1; } { b = 2; } ]) (foldAttrs (item: acc: [ item ] ++ acc) [ ] [ { a = 2; } { a = 3; } ]) ];
    expected = [
      [
        {
          a = 1;
          b = 10;
        }
        {
          a = 1;
          b = 20;
        }
        {
          a = 2;
          b = 10;
        }
        {
          a = 2;
          b = 20;
        }
      ]
      [
        {
          name = "a";
          value = 1;
        }
      ]
      {
        a = [
          1
          2
        ];
        b = [
          3
        ];
      }
      {
        a = [
          1
        ];
      }
      [
        1
      ]
      {
        a = 1;
      }
      [
        1
      ]
      {
        a = [
          2
          3
        ];
      }
    ];
  };
  match-attrs = {
    expr = [ (matchAttrs { cpu.bits = 64; } { cpu = { bits = 64; x = 1; }; }) (matchAttrs { a = 1; } { a = 2; }) (overrideExisting { a = 1; } { a = 2; b = 3; }) (showAttrPath [ "a" "b c" "1" ]) (updateManyAttrsByPath [ { path = [ "a" "b" ]; update = old: { d = old.c; }; } { path = [ "x" "y" ]; update = old: "xy"; } ] { a.b.c = 0; }) ];
    expected = [
      true
      false
      {
        a = 2;
      }
      "a.\"b c\".\"1\""
      {
        a = {
          b = {
            d = 0;
          };
        };
        x = {
          y = "xy";
        };
      }
    ];
  };
  case = {
    expr = [ (toLower "AbC") (toUpper "aBc") (toSentenceCase "hELLO") ];
    expected = [
      "abc"
      "ABC"
      "Hello"
    ];
  };
  concat = {
    expr = [ (concatMapStringsSep ", " toString [ 1 2 ]) (concatImapStringsSep "-" (i: x: x + toString i) [ "a" "b" ]) (concatLines [ "a" "b" ]) (concatMapAttrsStringSep "\n" (n: v: "${n}-${v}") { a = "1"; b = "2"; }) (intersperse "/" [ "a" "b" ]) ];
    expected = [
      "1, 2"
      "a1-b2"
      "a\nb\n"
      "a-1\nb-2"
      [
        "a"
        "/"
        "b"
      ]
    ];
  };
  affixes = {
    expr = [ (hasPrefix "ab" "abc") (hasSuffix "bc" "abc") (hasInfix "b" "abc") (hasInfix "x" "abc") (removePrefix "a" "abc") (removeSuffix "c" "abc") (removePrefix "x" "abc") ];
    expected = [
      true
      true
      true
      false
      "bc"
      "ab"
      "abc"
    ];
  };
  split = {
    expr = [ (splitString "." "a.b..c") (splitString "/" "") (splitString "ab" "xabyabz") (splitString "|" "a|b") (splitString "*" "a*b") (splitString "^" "a^b") (splitString "\\" "a\\b") (splitString "[" "a[b") ];
    expected = [
      [
        "a"
        "b"
        ""
        "c"
      ]
      [
        ""
      ]
      [
        "x"
        "y"
        "z"
      ]
      [
        "a"
        "b"
      ]
      [
        "a"
        "b"
      ]
      [
        "a"
        "b"
      ]
      [
        "a"
        "b"
      ]
      [
        "a"
        "b"
      ]
    ];
  };
  trim = {
    expr = [ (trim "  a b \n") (trim "") (trim " ") (strings.trimWith { start = true; } "  a ") (strings.trimWith { end = true; } "  a ") ];
    expected = [
      "a b"
      ""
      ""
      "a "
      "  a"
    ];
  };
  escape = {
    expr = [ (escape [ "(" ")" ] "(a)") (escapeShellArg "a b") (escapeShellArg "it's") (escapeShellArg "plain") (escapeShellArgs [ "a b" "c" ]) (strings.escapeNixString "a\${b}\"") (strings.escapeNixIdentifier "a b") (strings.escapeNixIdentifier "in") (escapeRegex "a.b[c]") (escapeXML "<a b=\"c\">&'") (escapeURL "a/b c?d=é") ];
    expected = [
      "\\(a\\)"
      "'a b'"
      "'it'\\''s'"
      "plain"
      "'a b' c"
      "\"a\\\${b}\\\"\""
      "\"a b\""
      "\"in\""
      "a\\.b\\[c]"
      "&lt;a b=&quot;c&quot;&gt;&amp;&apos;"
      "a%2Fb%20c%3Fd%3Dé"
    ];
  };
  shell-vars = {
    expr = [ (toShellVar "a" "b c") (toShellVar "a" [ "b" "c d" ]) (toShellVar "a" { b = "c d"; }) (toShellVars { a = 1; b = "x"; }) ];
    expected = [
      "a='b c'"
      "declare -a a=(b 'c d')"
      "declare -A a=([b]='c d')"
      "a=1\nb=x"
    ];
  };
  to-int = {
    expr = [ (toInt "42") (toInt " -7 ") (toIntBase10 "007") (toIntBase10 "-12") (toHexString 255) (fromHexString "ff") (toBaseDigits 2 6) ];
    expected = [
      42
      (-7)
      7
      (-12)
      "FF"
      255
      [
        1
        1
        0
      ]
    ];
  };
  fixed-width = {
    expr = [ (fixedWidthString 5 "0" "42") (fixedWidthNumber 4 7) ];
    expected = [
      "00042"
      "0007"
    ];
  };
  sanitize = {
    expr = [ (strings.sanitizeDerivationName "../a b@c") (strings.sanitizeDerivationName "") ];
    expected = [
      "-a-b-c"
      "unknown"
    ];
  };
  levenshtein = {
    expr = [ (strings.levenshtein "kitten" "sitting") (strings.levenshteinAtMost 2 "foo" "fob") (strings.levenshtein "" "abc") ];
    expected = [
      3
      true
      3
    ];
  };
  store-path = {
    expr = [ (isStorePath "/nix/store/d945ibfx9x185xf04b890y4f9g3cbb63-python") (isStorePath "/nix/store/d945ibfx9x185xf04b890y4f9g3cbb63-python/bin") (isStorePath "/nix/store/x") (isStorePath 1) (isStorePath [ ]) ];
    expected = [
      true
      false
      true
      false
      false
    ];
  };
  search-path = {
    expr = [ (makeSearchPath "bin" [ "/a" "/b" null ]) (makeBinPath [ "/a" { outPath = "/o"; bin = "/binned"; } ]) (enableFeature true "x") (withFeatureAs true "x" "y") (enableFeature false "x") ];
    expected = [
      "/a/bin:/b/bin"
      "/a/bin:/binned/bin"
      "--enable-x"
      "--with-x=y"
      "--disable-x"
    ];
  };
  versions = {
    expr = [ (versionOlder "1.1" "1.2") (versionAtLeast "1.2" "1.2") (versions.major "1.2.3") (versions.minor "1.2.3") (versions.patch "1.2.3") (versions.majorMinor "1.2.3") (versions.pad 4 "1.2") (versions.pad 2 "1.3-rc1") (getName "python-3.1") (getVersion "python-3.1") (getName { pname = "p"; }) ];
    expected = [
      true
      true
      "1"
      "2"
      "3"
      "1.2"
      "1.2.0.0"
      "1.3-rc1"
      "python"
      "3.1"
      "p"
    ];
  };
  trivial = {
    expr = [ (pipe 2 [ (x: x + 1) (x: x * 2) ]) (flip (a: b: a - b) 1 2) (mapNullable (x: x + 1) null) (mapNullable (x: x + 1) 1) (defaultTo 1 null) (xor true false) (boolToString true) (boolToYesNo false) (min 1 2) (max 1 2) (compare 1 2) (splitByAndCompare (hasPrefix "foo") compare compare "foo" "bar") ];
    expected = [
      6
      1
      null
      2
      1
      true
      "true"
      "no"
      1
      2
      (-1)
      (-1)
    ];
  };
  functions = {
    expr = [ (functionArgs ({ a, b ? 1 }: 1)) (functionArgs (setFunctionArgs (x: x) { z = true; })) (isFunction { __functor = s: x: x; }) (toFunction 1 2) (toFunction (x: x + 1) 2) ];
    expected = [
      {
        a = false;
        b = true;
      }
      {
        z = true;
      }
      true
      1
      3
    ];
  };
  fixed-points = {
    expr = [ (fix (self: { a = 1; b = self.a + 1; })) ((makeExtensible (self: { a = 1; b = self.a; })).extend (final: prev: { a = prev.a + 1; })).b ((fix (extends (final: prev: { a = prev.a + 1; }) (final: { a = 1; c = final.a; }))).c) (converge (x: x / 2) 16) ((fix (extends (composeManyExtensions [ (f: p: { a = p.a + 1; }) (f: p: { a = p.a * 10; }) ]) (f: { a = 1; }))).a) ];
    expected = [
      {
        a = 1;
        b = 2;
      }
      2
      2
      0
      20
    ];
  };
  key-value = {
    expr = generators.toKeyValue { } { a = 1; b = true; c = null; d = "x=y"; "e=f" = "g"; };
    expected = "a=1\nb=true\nc=null\nd=x=y\ne\\=f=g\n";
  };
  key-value-lists = {
    expr = generators.toKeyValue { listsAsDuplicateKeys = true; indent = "  "; } { a = [ 1 2 ]; };
    expected = "  a=1\n  a=2\n";
  };
  ini = {
    expr = generators.toINI { } { one = { a = 1; b = "c"; }; "two [x]" = { }; };
    expected = "[one]\na=1\nb=c\n\n[two \\[x\\]]\n";
  };
  ini-global = {
    expr = generators.toINIWithGlobalSection { } { globalSection = { g = 1; }; sections = { s.a = false; }; };
    expected = "g=1\n\n[s]\na=false\n";
  };
  pretty = {
    expr = generators.toPretty { } { a = 1; b = "x\"y"; c = [ ]; d = { }; e = [ 1 { f = null; } ]; g = x: x; h = { a, b ? 1 }: a; i = true; j = 1.5; "k l" = "two\nlines\n"; m = "\${n}"; n = "a\n''b"; };
    expected = "{\n  a = 1;\n  b = \"x\\\"y\";\n  c = [ ];\n  d = { };\n  e = [\n    1\n    {\n      f = null;\n    }\n  ];\n  g = <function>;\n  h = <function, args: {a, b?}>;\n  i = true;\n  j = 1.5;\n  \"k l\" = ''\n    two\n    lines\n  '';\n  m = \"\\\${n}\";\n  n = ''\n    a\n    '''b'';\n}";
  };
  pretty-one-line = {
    expr = generators.toPretty { multiline = false; } { a = [ 1 2 ]; b = { c = "d\ne"; }; };
    expected = "{ a = [ 1 2 ]; b = { c = \"d\\ne\"; }; }";
  };
  pretty-special = {
    expr = generators.toPretty { allowPrettyValues = true; } { a = { __pretty = v: "<<${v}>>"; val = "v"; }; b = { type = "derivation"; name = "d"; }; };
    expected = "{\n  a = <<v>>;\n  b = <derivation d>;\n}";
  };
  with-recursion = {
    expr = generators.withRecursion { depthLimit = 1; throwOnDepthLimit = false; } { a.b.c = 1; };
    expected = {
      a = {
        b = "<unevaluated>";
      };
    };
  };
  asserts = {
    expr = [ (assertMsg true "x") (asserts.assertOneOf "x" 1 [ 1 2 ]) (throwIf false "x" 1) (throwIfNot true "x" 1) (warnIf false "x" 1) (checkListOfEnum "c" [ 1 2 ] [ 1 ] 3) ];
    expected = [
      true
      true
      1
      1
      1
      3
    ];
  };
  outputs = {
    expr = [ (getOutput "dev" { outPath = "o"; dev = "d"; }) (getBin { outPath = "o"; out = "oo"; }) (getExe { type = "derivation"; name = "x"; outPath = "/p"; bin = "/b"; pname = "x"; meta.mainProgram = "m"; }) ];
    expected = [
      "d"
      "oo"
      "/b/bin/m"
    ];
  };
  string-likes = {
    expr = map isStringLike [ "a" ./. { outPath = ""; } { __toString = s: ""; } 1 [ ] { } ];
    expected = [
      true
      true
      true
      true
      false
      false
      false
    ];
  };
  convertible = {
    expr = map strings.isConvertibleWithToString [ "a" 1 null true 1.5 [ "a" 1 ] [ { } ] { } ];
    expected = [
      true
      true
      true
      true
      true
      true
      false
      false
    ];
  };
  literals = {
    expr = [ (literalExpression "x") (literalMD "y") ];
    expected = [
      {
        _type = "literalExpression";
        text = "x";
      }
      {
        _type = "literalMD";
        text = "y";
      }
    ];
  };
  derivations = {
    expr = [ (isDerivation { type = "derivation"; }) (isDerivation 1) (recurseIntoAttrs { a = 1; }) ];
    expected = [
      true
      false
      {
        a = 1;
        recurseForDerivations = true;
      }
    ];
  };
}
