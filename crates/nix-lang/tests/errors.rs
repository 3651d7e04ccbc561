//! Errors have the right class, say what and where, and never crash.

use nix_lang::{Arena, ComputeIo, ErrorKind, Evaluator, Settings, on_big_stack};

fn fails(text: &str, settings: Settings) -> (ErrorKind, String) {
    on_big_stack(|| {
        let arena = Arena::new();
        let nix = Evaluator::new(&arena, ComputeIo::new(), settings);
        let error = nix
            .eval_str(text, "/")
            .and_then(|value| nix.force_deep(value))
            .expect_err("this must fail");
        (error.kind(), error.report().to_owned())
    })
    .expect("a thread can be started")
}

#[test]
fn classes() {
    for (text, kind) in [
        ("1 +", ErrorKind::Syntax),
        ("nope", ErrorKind::UndefinedVar),
        ("with { }; nope", ErrorKind::UndefinedVar),
        ("throw \"x\"", ErrorKind::Throw),
        ("abort \"x\"", ErrorKind::Abort),
        ("assert 1 == 2; 1", ErrorKind::Assert),
        ("1 + \"a\"", ErrorKind::Type),
        ("{ a = 1; }.b", ErrorKind::MissingAttr),
        ("let x = x; in x", ErrorKind::InfiniteRecursion),
        ("rec { a = b; b = a; }", ErrorKind::InfiniteRecursion),
        ("1 2", ErrorKind::Type),
        ("({ a }: a) { }", ErrorKind::Type),
        ("({ a }: a) { a = 1; b = 2; }", ErrorKind::Type),
        ("1 / 0", ErrorKind::Eval),
        ("9223372036854775807 + 1", ErrorKind::Eval),
        ("builtins.tryEval (1 + null)", ErrorKind::Type),
        ("builtins.readFile /no/such/file", ErrorKind::Io),
        ("builtins.fetchTarball \"https://example.org/x.tar.gz\"", ErrorKind::Unsupported),
        ("if 1 then 2 else 3", ErrorKind::Type),
        ("builtins.head [ ]", ErrorKind::Eval),
        ("builtins.fromJSON \"{\"", ErrorKind::Eval),
        ("builtins.match \"(\" \"x\"", ErrorKind::Eval),
    ] {
        let (found, report) = fails(text, Settings::default());
        assert_eq!(found, kind, "{text}: {report}");
    }
}

#[test]
fn deep_recursion_is_an_error() {
    for text in [
        "let f = n: 1 + f (n + 1); in f 0",
        "let f = n: if n == 0 then 0 else 1 + f (n - 1); in f 100000",
        "let f = s: { __functor = f; }; in (let g = { __functor = self: x: self x; }; in g 1)",
    ] {
        let (kind, report) = fails(text, Settings::default());
        assert_eq!(kind, ErrorKind::StackOverflow, "{report}");
    }
}

#[test]
fn a_small_stack_is_enough_to_fail_well() {
    for text in [
        "let f = n: 1 + f (n + 1); in f 0",
        "builtins.foldl' (acc: x: { a = acc; }) { } (builtins.genList (x: x) 100000)",
        "builtins.foldl' (acc: x: [ acc ]) [ ] (builtins.genList (x: x) 100000)",
        "builtins.foldl' (acc: x: acc // { a = acc.a + 1; }) { a = 0; } (builtins.genList (x: x) 100000)",
    ] {
        let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
            let arena = Arena::new();
            let nix = Evaluator::new(&arena, ComputeIo::new(), Settings::default());
            let result = nix.eval_str(text, "/").and_then(|value| nix.to_json(value));
            result.err().map(|error| error.kind())
        });
        let kind = thread.expect("a thread can be started").join().expect("no crash");
        assert_eq!(kind, Some(ErrorKind::StackOverflow), "{text}");
    }
}

#[test]
fn time_and_memory_are_limited() {
    for text in [
        "builtins.genList (x: x) 100000000",
        "builtins.foldl' (l: x: l ++ [ 1 2 3 4 5 6 7 8 9 ]) [ ] (builtins.genList (x: x) 100000)",
    ] {
        let settings = Settings { max_memory: Some(64 << 20), ..Settings::default() };
        assert_eq!(fails(text, settings).0, ErrorKind::Limit, "{text}");
    }
    let settings =
        Settings { max_time: Some(std::time::Duration::from_millis(50)), ..Settings::default() };
    let text = "let f = n: if n == 1000 then 0 else f (n + 1); in \
                   builtins.foldl' (a: x: f 0) 0 (builtins.genList (x: x) 100000)";
    assert_eq!(fails(text, settings).0, ErrorKind::Limit);
}

#[test]
fn pure_evaluation_is_pure() {
    let pure = || Settings { pure: true, ..Settings::default() };
    for text in [
        "builtins.readFile /etc/passwd",
        "import /etc/nixos/configuration.nix",
        "builtins.currentTime",
        "builtins.storePath \"/nix/store/x\"",
        "builtins.fetchTarball \"https://example.org/x.tar.gz\"",
    ] {
        let (kind, report) = fails(text, pure());
        assert!(
            matches!(kind, ErrorKind::Impure | ErrorKind::MissingAttr),
            "{text}: {kind:?}: {report}"
        );
    }
    let arena = Arena::new();
    let nix = Evaluator::new(&arena, ComputeIo::new().with_environment(), pure());
    let value = nix.eval_str("[ (builtins.getEnv \"PATH\") (builtins.pathExists /etc) ]", "/");
    assert_eq!(
        value.and_then(|value| nix.print(value)).expect("both are allowed"),
        "[ \"\" false ]"
    );
}

#[test]
fn reports_show_the_place_and_the_trail() {
    let text = "let\n  inc = x: x + true;\n  twice = f: x: f (f x);\nin twice inc 1";
    let (_, report) = fails(text, Settings::default());
    assert!(report.contains("cannot add a Boolean to an integer"), "{report}");
    assert!(report.contains("«string»:2:14"), "{report}");
    assert!(report.contains("while calling function 'inc'"), "{report}");
    let (_, report) = fails("{ packages = 1; }.packagse", Settings::default());
    assert!(report.contains("Did you mean packages?"), "{report}");
}

thread_local! {
    static SAID: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// What a thunk failed with is remembered: it does not run twice, and its report is the same again.
#[test]
fn what_failed_fails_again_without_running() {
    let arena = Arena::new();
    let io = ComputeIo::new()
        .with_messages(|line| SAID.with_borrow_mut(|said| said.push(line.to_owned())));
    let nix = Evaluator::new(&arena, io, Settings::default());
    let text = "let
          failed = value: !(builtins.tryEval value).success;
          x = builtins.trace \"let\" (throw \"x\");
          f = { y ? builtins.trace \"default\" (throw \"y\") }: failed y && failed y;
          l = map (n: builtins.trace \"map\" (assert false; n)) [ 1 ];
          inherit (builtins.trace \"set\" (throw \"set\")) p q;
          ten = builtins.genList (n: x) 10;
        in failed x && builtins.all failed ten && f { } && failed (builtins.head l) && failed (builtins.elemAt l 0)
          && failed p && failed q && failed p";
    assert_eq!(nix.print(nix.eval_str(text, "/").unwrap()).unwrap(), "true");
    let said = SAID.with_borrow(|said| said.join(", "));
    assert_eq!(said, "trace: let, trace: default, trace: map, trace: set");

    let trail = "a = builtins.addErrorContext \"in a\" b; b = builtins.addErrorContext \"in b\" (throw \"b\");";
    let once = nix.eval_str(&format!("let {trail} in a"), "/").unwrap_err();
    let again = nix
        .eval_str(&format!("let {trail} in builtins.seq (builtins.tryEval a).success a"), "/")
        .unwrap_err();
    for step in ["note: … in a", "note: … in b"] {
        assert_eq!(once.report().matches(step).count(), 1, "{}", once.report());
        assert_eq!(again.report().matches(step).count(), 1, "{}", again.report());
    }
}
