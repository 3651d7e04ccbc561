//! The parser against C++ Nix (whose answers are noted here), rnix, and nonsense.

use bumpalo::Bump;
use insta::assert_snapshot;
use proptest::prelude::*;

use crate::{Globals, Options, Origin, Sources, Symbols, parse, render, show};

const GLOBALS: [&[u8]; 12] = [
    b"true",
    b"false",
    b"null",
    b"map",
    b"import",
    b"builtins",
    b"toString",
    b"__sub",
    b"__lessThan",
    b"__findFile",
    b"__nixPath",
    b"removeAttrs",
];

fn run(text: &[u8], max_depth: u32) -> Result<String, String> {
    let arena = Bump::new();
    let symbols = Symbols::new(&arena);
    let sources = Sources::new();
    let globals = Globals::new(&symbols, GLOBALS);
    let file = sources.add(Origin::Text("x.nix".into()), text.into());
    let options = Options { home: Some(b"/home"), max_depth, ..Options::new(b"/base", &globals) };
    match parse(&arena, &symbols, &sources, file, &options) {
        Ok(expr) => Ok(String::from_utf8_lossy(&show(expr, &symbols, &globals, None)).into_owned()),
        Err(reports) => {
            assert!(!reports.is_empty());
            Err(reports
                .iter()
                .map(|report| render(&sources, report, false))
                .collect::<Vec<_>>()
                .join("\n"))
        }
    }
}

/// Parses without showing: showing recurses over chains that parsing does not recurse over.
fn accepts(text: &str) -> bool {
    let arena = Bump::new();
    let symbols = Symbols::new(&arena);
    let sources = Sources::new();
    let globals = Globals::new(&symbols, GLOBALS);
    let file = sources.add(Origin::Text("x.nix".into()), text.as_bytes().into());
    parse(&arena, &symbols, &sources, file, &Options::new(b"/base", &globals)).is_ok()
}

fn tree(text: &str) -> String {
    run(text.as_bytes(), 200).unwrap_or_else(|error| panic!("{error}"))
}

fn error(text: &str) -> String {
    run(text.as_bytes(), 200).expect_err("this must be refused")
}

#[test]
fn operators_bind_as_in_nix() {
    for (text, expected) in [
        ("a: b: a + b * a - b", "(a: (b: (__sub (a + (__mul b a)) b)))"),
        ("a: !a == a", "(a: ((! a) == a))"),
        ("a: !a + a", "(a: (! (a + a)))"),
        ("a: -a ? b", "(a: (((__sub 0 a)) ? b))"),
        ("a: a + !a + a == a", "(a: ((a + (! (a + a))) == a))"),
        ("a: a ++ a ++ a", "(a: (a ++ (a ++ a)))"),
        ("a: a // a // a", "(a: (a // (a // a)))"),
        ("a: a -> a -> a", "(a: (a -> (a -> a)))"),
        ("a: a ? b ? c", "(a: ((((a) ? b)) ? c))"),
        ("a: a >= 1 == a", "(a: ((! (__lessThan a 1)) == a))"),
        ("a: (a 1) 2", "(a: (a 1 2))"),
        ("a: a.b or a.c 1", "(a: ((a).b or ((a).c) 1))"),
        ("or: map or []", "or"),
    ] {
        match run(text.as_bytes(), 100) {
            Ok(shown) => assert_eq!(shown, expected),
            // `or` cannot be a parameter.
            Err(_) => assert_eq!(expected, "or", "{text}"),
        }
    }
    assert_eq!(tree("let \"or\" = 1; in [ map or ]"), "(let or = 1; in [ ((map or)) ])");
}

#[test]
fn an_indented_string_of_one_string_is_that_string() {
    assert_eq!(tree("''${\"a\"}''"), "\"a\"");
    assert_eq!(tree("''${''b''}''"), "\"b\"");
    assert_eq!(tree("\"${\"a\"}\""), "(\"a\")");
    assert_eq!(tree("''x${\"a\"}''"), "(\"x\" + \"a\")");
    assert_eq!(tree("x: ''${x}''"), "(x: (x))");
}

#[test]
fn lines_end_with_any_of_three() {
    let shown = error("1 +\r2 +\r\n3 +\n{\r;");
    assert!(shown.contains("x.nix:5:1"), "{shown}");
    assert!(shown.contains("5 | ;"), "{shown}");
}

#[test]
fn own_operator_functions_win() {
    assert_eq!(tree("let __sub = a: b: a; in 1 - 2"), "(let __sub = (a: (b: a)); in (__sub 1 2))");
    assert_eq!(
        tree("let __lessThan = 1; in 1 <= 2"),
        "(let __lessThan = 1; in (! (__lessThan 2 1)))"
    );
}

#[test]
fn sets_merge_and_resolve() {
    assert_eq!(
        tree("{ a.b = 1; a.c = {}; ${\"x\"} = 2; a.d.e = 3; }"),
        "{ a = { b = 1; c = { }; d = { e = 3; }; }; x = 2; }"
    );
    assert_eq!(tree("{ x = rec { y = 1; }; x = { z = y; }; }"), "{ x = rec { y = 1; z = y; }; }");
    assert_eq!(
        tree("a: { x = { inherit (a) b; }; x = { inherit (a.c) d; }; }"),
        "(a: { x = { inherit (a) b; inherit ((a).c) d; }; })"
    );
    assert_eq!(tree("x: rec { inherit x; y = x; }"), "(x: rec { inherit x; y = x; })");
    assert_eq!(
        tree("let a = 1; in let a = 2; b = a; in with b; [ a c ]"),
        "(let a = 1; in (let a = 2; b = a; in (with b; [ (a) (c) ])))"
    );
    assert_eq!(tree("let { body = a; a = 1; }"), "(rec { a = 1; body = a; }).body");
    assert_eq!(tree("{ b ? a, a, ... }@c: c"), "({ a, b ? a, ... } @ c: c)");
    assert_eq!(tree("{ }: { }"), "({  }: { })");
    assert_eq!(tree("a: { ${a}.b = 1; }"), "(a: { \"${a}\" = { b = 1; }; })");
}

#[test]
fn strings_and_paths() {
    assert_eq!(tree(r#""a\n\${b}$${c}\x$""#), r#""a\n\${b}$\${c}x$""#);
    assert_eq!(tree("''\n    a\n      ${\"x\"}\n\n    b\n  ''"), r#"("a\n  " + "x" + "\n\nb\n")"#);
    assert_eq!(tree("'' a''"), "\"a\"");
    assert_eq!(tree("''\n  a ''$ ''' ''\\t '\n  ''"), r#""a $ '' \t '\n""#);
    assert_eq!(tree("\"\r\n\""), r#""\n""#);
    assert_eq!(tree("''a\r\n''"), r#""a\r\n""#);
    assert_eq!(
        tree("[ ./a ../b /c/./d ~/e a/b/../c <n/x> http://a?b ]"),
        "[ (/base/a) (/b) (/c/d) (/home/e) (/base/a/c) ((__findFile __nixPath \"n/x\")) (\"http://a?b\") ]"
    );
    assert_eq!(tree("./a/${\"b\"}//c-${\"d\"}"), r#"(/base/a/ + "b" + "//c-" + "d")"#);
    assert_eq!(tree("[ 1.5 .5 00.5 1.e2 1 ]"), "[ (1.5) (0.5) (0) (0.5) (100) (1) ]");
}

#[test]
fn bytes_need_not_be_utf8() {
    let arena = Bump::new();
    let symbols = Symbols::new(&arena);
    let sources = Sources::new();
    let globals = Globals::new(&symbols, GLOBALS);
    let file = sources.add(Origin::Text("x".into()), b"\"\xff\xfe\""[..].into());
    let expr = parse(&arena, &symbols, &sources, file, &Options::new(b"/", &globals)).unwrap();
    assert!(matches!(expr.kind, crate::ast::ExprKind::Str(text) if text.bytes == b"\xff\xfe"));
    assert!(run(b"\xff", 100).is_err());
}

#[test]
fn outer_frame_hides_globals() {
    let arena = Bump::new();
    let symbols = Symbols::new(&arena);
    let sources = Sources::new();
    let globals = Globals::new(&symbols, GLOBALS);
    let outer = [symbols.intern(b"import"), symbols.intern(b"x")];
    let file = sources.add(Origin::Text("x".into()), b"a: [ x import map ]"[..].into());
    let options = Options { outer: Some(&outer), ..Options::new(b"/", &globals) };
    let expr = parse(&arena, &symbols, &sources, file, &options).unwrap();
    let crate::ast::ExprKind::Lambda(lambda) = expr.kind else { panic!() };
    let crate::ast::ExprKind::List([x, import, map]) = lambda.body.kind else { panic!() };
    assert!(matches!(x.kind, crate::ast::ExprKind::Local { level: 1, index: 1 }));
    assert!(matches!(import.kind, crate::ast::ExprKind::Local { level: 1, index: 0 }));
    assert!(matches!(map.kind, crate::ast::ExprKind::Global(3)));
}

#[test]
fn errors_say_where_and_what() {
    assert_snapshot!(error("{\n  a = 1;\n  b = 2;\n  a = 3;\n}"), @r#"
    error: attribute 'a' already defined at x.nix:2:3
     --> x.nix:4:3
      |
    4 |   a = 3;
      |   ^ defined again here
      |
    note: first defined here
     --> x.nix:2:3
      |
    2 |   a = 1;
      |   ^
    "#);
    assert_snapshot!(error("let foobar = 1; in fobar"), @r#"
    error: undefined variable 'fobar'
     --> x.nix:1:20
      |
    1 | let foobar = 1; in fobar
      |                    ^^^^^
      |
    help: did you mean `foobar`?
    "#);
    assert_snapshot!(error("{ a = [ 1 2; }"), @r#"
    error: syntax error, unexpected ';'
     --> x.nix:1:12
      |
    1 | { a = [ 1 2; }
      |            ^ expected a list element or `]`
      |
    note: opened here
     --> x.nix:1:7
      |
    1 | { a = [ 1 2; }
      |       ^
    "#);
    assert_snapshot!(error("{ a, a }: a"), @r#"
    error: duplicate formal function argument 'a'
     --> x.nix:1:6
      |
    1 | { a, a }: a
      |      ^
      |
    note: first named here
     --> x.nix:1:3
      |
    1 | { a, a }: a
      |   ^
    "#);
    assert_snapshot!(error("[ \"a ]"), @r#"
    error: syntax error, unexpected end of file, expecting '"'
     --> x.nix:1:3
      |
    1 | [ "a ]
      |   ^ this string is not closed
      |
    help: end it with `"`
    "#);
    assert_snapshot!(error("9223372036854775808"), @r#"
    error: invalid integer '9223372036854775808'
     --> x.nix:1:1
      |
    1 | 9223372036854775808
      | ^^^^^^^^^^^^^^^^^^^
    "#);
    assert_snapshot!(error("x: x == 1 == 2"), @r#"
    error: syntax error, unexpected '=='
     --> x.nix:1:11
      |
    1 | x: x == 1 == 2
      |           ^^ expected an operator of another kind
      |
    help: comparisons cannot be chained; use parentheses or `&&`
    "#);
    assert_snapshot!(error("/* x"), @r#"
    error: syntax error, unexpected '/'
     --> x.nix:1:1
      |
    1 | /* x
      | ^^ this comment is not closed
      |
    help: end it with `*/`
    "#);
}

#[test]
fn refuses_what_nix_refuses() {
    for text in [
        "",
        "{",
        "}",
        "[ a: a ]",
        "1 + a: a",
        "{ a = 1 }",
        "let a = 1; a",
        "{ inherit a.b; }",
        "x: { inherit ${x}; }",
        "let ${\"a\" + \"b\"} = 1; in 1",
        "./a/",
        "a/b//c",
        "{ a, ... , b }: a",
        "{ , }: 1",
        "a@{ a }: a",
        "a: a.${a",
        "''a",
        "{ a = 1; a.b = 2; }",
        "{ a.b = 1; a = 2; }",
        "let a = 1; a = 2; in a",
        "1e400.",
        "a: a < 1 < 2",
        "if 1 then 2",
        "with {}",
        "a: a ? ",
        "a: a or.b",
        "a: a.b or",
        "\"\0\"",
        "1 <| 2 |> 3",
        "~/a/",
        "{ or }: or",
    ] {
        assert!(run(text.as_bytes(), 200).is_err(), "{text}");
    }
}

#[test]
fn deep_nesting_is_an_error_and_not_a_crash() {
    let n = 100_000;
    for text in [
        "(".repeat(n),
        "[".repeat(n),
        "{a=".repeat(n),
        "!".repeat(n) + "true",
        "-".repeat(n) + "1",
        "x: ".repeat(n) + "1",
        "\"${".repeat(n),
        "''${".repeat(n),
        "if ".repeat(n),
        "with ".repeat(n),
        "let a = ".repeat(n),
        "{ a ? ".repeat(n),
        "1 ++ ".repeat(n) + "1",
        "a".to_owned() + &" ? a".repeat(n),
        "{ a".to_owned() + &".a".repeat(n) + " = 1; }",
        "true.a or ".repeat(n) + "1",
        "./${".repeat(n),
    ] {
        assert!(!accepts(&text), "{}", &text[..20]);
    }
    assert!(error(&"(".repeat(n)).contains("nested more than 200 deep"));
    // Up to the limit everything goes, and the resolver has stack enough as well.
    let n = 150;
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("{a=", ";}"),
        ("rec {a=", ";}"),
        ("!", ""),
        ("x: ", ""),
        ("\"${", "}\""),
        ("''${", "}''"),
        ("let a = ", "; in a"),
        ("with {}; ", ""),
        ("assert true; ", ""),
        ("if 1 then 1 else ", ""),
        ("1 ++ ", ""),
        ("./${", "}"),
        ("{ a ? ", "}: 1"),
        ("{ ${", "} = 1; }"),
    ] {
        assert!(accepts(&(open.repeat(n) + "1" + &close.repeat(n))), "{open}");
    }
    let n = 100_000;
    // Chains that lean left are no nesting.
    assert!(accepts(&("1".to_owned() + &" + 1".repeat(n))));
}

#[test]
fn agrees_with_rnix_where_rnix_is_right() {
    let corpus = [
        "{ pkgs ? import <nixpkgs> { }, ... }@args: with pkgs; rec { a = b.c or d; inherit (a) e f; }",
        "let f = { a, b ? 1 }: a + b; in map (x: f { a = x; }) [ 1 2 3 ]",
        "assert 1 < 2; if true then ''\n  a ${toString 1}\n'' else \"b\"",
        "{ a.b.\"c d\" = ./x; } // { } ++ [ ]",
        "{ a = ; }",
        "let in",
        "[ 1 , 2 ]",
        "x: y: z",
        "a b c",
        "x: x.y.z or 1 ? b",
        "{ a }: a",
        "(1",
        "{ x = 1; ",
        "if 1 then 2",
        "x: !x && -1 > 2 || x -> x",
        "rec { }.a",
        "\"${x: x}\"",
        "<a>",
        "{ inherit; }",
        "with 1; 2",
    ];
    for text in corpus {
        let theirs = rnix::Root::parse(text).errors().is_empty();
        // Names are none of its business.
        let ours = run(text.as_bytes(), 200).map_or_else(
            |e| {
                e.lines().all(|l| !l.starts_with("error"))
                    || e.starts_with("error: undefined variable")
            },
            |_| true,
        );
        assert_eq!(ours, theirs, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_panics_on_bytes(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = run(&text, 100);
    }

    #[test]
    fn never_panics_on_tokens(tokens in prop::collection::vec(prop::sample::select(vec![
        "a", "b", "or", "if", "then", "else", "let", "in", "rec", "with", "assert", "inherit", "{", "}", "(", ")", "[", "]", ";", ":",
        ",", ".", "...", "@", "?", "=", "==", "<", "&&", "->", "//", "++", "+", "-", "!", "1", "1.5", "\"", "''", "${", "./p", "/",
        "<n>", "~/h", "u:v", "a = 1;", "{ a }: a", "x: x", "\\", "$", "'", "\n", "#", "/*", "*/", "\r", "é",
    ]), 0..25)) {
        let _ = run(tokens.concat().as_bytes(), 100);
        let _ = run(tokens.join(" ").as_bytes(), 100);
    }

    #[test]
    fn shown_trees_mean_themselves(tokens in prop::collection::vec(prop::sample::select(vec![
        "a", "b", "(a)", "+", "==", "//", "++", "-", "!", "->", "? c", ".d", "1", "[ a b ]", "{ a = b; }", "(a: a)", "&&", "<", "or 1",
    ]), 1..9)) {
        if let Ok(shown) = run(format!("a: b: {}", tokens.join(" ")).as_bytes(), 100) {
            prop_assert_eq!(run(shown.as_bytes(), 200), Ok(shown.clone()));
        }
    }
}
