//! The language by example: each `conformance/SECTION/NAME.nix` evaluates to `NAME.exp`, or fails
//! with `NAME.err`, which hold what C++ Nix 2.34 says (`checks/conformance` asks it again).

use std::path::{Path, PathBuf};

use nix_lang::{Arena, ComputeIo, Evaluator, Settings, on_big_stack};

fn cases(root: &Path) -> Vec<PathBuf> {
    let folder = |dir: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir).expect("a folder of cases can be read");
        entries.map(|entry| entry.expect("an entry can be read").path()).collect()
    };
    let mut cases: Vec<PathBuf> = folder(root)
        .iter()
        .flat_map(|section| folder(section))
        .filter(|path| path.extension().is_some_and(|extension| extension == "nix"))
        .collect();
    cases.sort();
    cases
}

/// The value as `nix-instantiate --eval --strict` prints it, or the message of the error.
fn outcome(nix: &Evaluator<'_>, case: &Path) -> (&'static str, String) {
    let shown = nix
        .eval_file(case)
        .and_then(|value| nix.force_deep(value))
        .and_then(|value| nix.print_plain(value));
    match shown {
        Ok(text) => ("exp", text),
        Err(error) => {
            let help = error.help().filter(|help| help.starts_with("Did you mean"));
            let lines = error.message().lines().chain(help);
            let lines: Vec<&str> = lines.map(str::trim).filter(|line| !line.is_empty()).collect();
            ("err", lines.join("\n"))
        }
    }
}

fn settings() -> Settings {
    Settings { home: Some("/nowhere".into()), ..Settings::default() }
}

fn cold(case: &Path) -> (&'static str, String) {
    let arena = Arena::new();
    outcome(&Evaluator::new(&arena, ComputeIo::new(), settings()), case)
}

/// Evaluated, and once more after the file was said to have changed.
fn warm(case: &Path) -> (&'static str, String) {
    let arena = Arena::new();
    let nix = Evaluator::warm(&arena, ComputeIo::new(), settings());
    let first = nix.again(None, |nix| outcome(nix, case));
    let second = nix.again(Some(&[case.to_owned()]), |nix| outcome(nix, case));
    assert_eq!(first, second, "{}", case.display());
    second
}

#[test]
fn agrees_with_cpp_nix() {
    all_agree(cold);
}

#[test]
fn warm_evaluation_agrees_with_cpp_nix() {
    all_agree(warm);
}

fn all_agree(outcome: fn(&Path) -> (&'static str, String)) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let place = root.to_string_lossy().into_owned();
    let (count, failed) = on_big_stack(|| {
        let mut failed = Vec::new();
        let cases = cases(&root);
        for case in &cases {
            let (kind, found) = outcome(case);
            let found = found.replace(&place, "/pwd");
            let wanted = std::fs::read_to_string(case.with_extension(kind)).ok();
            if wanted.as_deref().map(str::trim_end) != Some(found.trim_end()) {
                let wanted = wanted.unwrap_or_else(|| format!("no .{kind} file"));
                failed.push(format!("{}\n  wanted: {wanted}  found: {found}", case.display()));
            }
        }
        (cases.len(), failed)
    })
    .expect("a thread can be started");
    assert!(count > 500, "only {count} cases were found");
    assert!(failed.is_empty(), "{} of {count}:\n{}", failed.len(), failed.join("\n"));
}
