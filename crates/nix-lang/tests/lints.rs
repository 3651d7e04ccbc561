//! What texts may say but better would not, and colours in messages.

use std::cell::RefCell;

use nix_lang::{Arena, ComputeIo, Evaluator, Lint, Lints, Settings, coloured, on_big_stack};

/// The value, or the message of the error, and what was said meanwhile.
fn outcome(text: &str, settings: Settings) -> (String, Vec<String>) {
    on_big_stack(|| {
        thread_local! {
            static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
        }
        let arena = Arena::new();
        let io = ComputeIo::new()
            .with_messages(|line| SAID.with_borrow_mut(|said| said.push(line.to_owned())));
        let nix = Evaluator::new(&arena, io, settings);
        let shown = nix.eval_str(text, "/base").and_then(|value| nix.print_plain(value));
        (shown.unwrap_or_else(|error| error.message().to_owned()), SAID.take())
    })
    .expect("a thread can be started")
}

fn lints(level: Lint) -> Settings {
    let lints =
        Lints { url_literals: level, short_path_literals: level, absolute_path_literals: level };
    Settings { lints, home: Some("/home".into()), ..Settings::default() }
}

#[test]
fn literals_are_ignored_warned_of_or_refused() {
    for (text, value, forbidden, discouraged) in [
        (
            "http://a.example",
            "\"http://a.example\"",
            "URL literals are disallowed. Consider using a string literal \"http://a.example\" instead (lint-url-literals)",
            "URL literals are discouraged. Consider using a string literal \"http://a.example\" instead (lint-url-literals)",
        ),
        (
            "a/b",
            "/base/a/b",
            "relative path literal 'a/b' should be prefixed with '.' for clarity: './a/b' (lint-short-path-literals)",
            "",
        ),
        (
            "/a/b",
            "/a/b",
            "absolute path literals are not portable. Consider replacing path literal '/a/b' by a string, relative path, or parameter (lint-absolute-path-literals)",
            "",
        ),
        (
            "~/a",
            "/home/a",
            "home path literals are not portable. Consider replacing path literal '~/a' by a string, relative path, or parameter (lint-absolute-path-literals)",
            "",
        ),
    ] {
        let discouraged = if discouraged.is_empty() { forbidden } else { discouraged };
        let warning = format!("warning: {discouraged}\n         at «string»:1:1");
        assert_eq!(outcome(text, lints(Lint::Ignore)), (value.into(), vec![]));
        assert_eq!(outcome(text, lints(Lint::Warn)), (value.into(), vec![warning]));
        assert_eq!(outcome(text, lints(Lint::Fatal)), (forbidden.into(), vec![]));
    }
    for text in ["./a", "../a", "./a/${\"b\"}", "<a>: 1", "\"http://a.example\""] {
        let (shown, said) = outcome(text, lints(Lint::Fatal));
        assert!(!shown.contains("lint-") && said.is_empty(), "{text}: {shown}");
    }
}

#[test]
fn or_as_an_argument_is_warned_of() {
    for text in [
        "let or = 1; in [ (x: x) or ]",
        "let or = 1; in (x: x) (x: x) or",
        "let or = 1; in { a = 2; }.a or (x: x) or",
    ] {
        let (_, said) = outcome(text, Settings::default());
        assert_eq!(said.len(), 1, "{text}: {said:?}");
        assert!(said[0].starts_with("warning: at «string»:1:"), "{said:?}");
        assert!(said[0].contains("This expression uses `or` as an identifier"), "{said:?}");
        assert!(said[0].contains("x: x) or)"), "{said:?}");
    }
    for text in ["let or = x: x; in map or [ ]", "let f = x: x; or = f; in f (f or)"] {
        assert_eq!(outcome(text, Settings::default()).1, Vec::<String>::new(), "{text}");
    }
}

#[test]
fn warnings_can_be_errors() {
    let text = "builtins.warn \"old\" 1";
    let said = vec!["evaluation warning: old".to_owned()];
    assert_eq!(outcome(text, Settings::default()), ("1".into(), said.clone()));
    let settings = Settings { abort_on_warn: true, ..Settings::default() };
    let message = "aborting to reveal stack trace of warning, as abort-on-warn is set";
    assert_eq!(outcome(text, settings.clone()), (message.into(), said));
    let (message, _) = outcome("(builtins.tryEval (builtins.warn \"old\" 1)).success", settings);
    assert!(message.starts_with("aborting"), "{message}");
}

#[test]
fn of_control_sequences_only_colours_reach_a_terminal() {
    let text = "a \x1b[1;31mred\x1b[0m\x1b[2J word\nand a line";
    assert_eq!(coloured(text, false), "a red␛[2J word\nand a line");
    assert_eq!(coloured(text, true), "a \x1b[1;31mred\x1b[0m␛[2J word\nand a line");
}
