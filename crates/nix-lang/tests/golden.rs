//! The language against C++ Nix: each `lang/NAME.nix` evaluates to `lang/NAME.json`, which is what
//! `nix-instantiate --eval --strict --json --read-write-mode` of 2.8 gives (`lang/update.sh`).

use std::path::{Path, PathBuf};

use nix_lang::{Arena, ComputeIo, Evaluator, Settings, on_big_stack};
use serde_json::Value;

fn cases() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lang");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(dir)
        .expect("the folder of cases is there")
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "nix"))
        .collect();
    cases.sort();
    cases
}

/// Equality where `1.0` is `1`: Nix 2.8 leaves the fraction of whole floats out, newer ones do not.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(a, b)| same(a, b))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, a)| right.get(name).is_some_and(|b| same(a, b)))
        }
        _ => left == right,
    }
}

#[test]
fn evaluates_as_cpp_nix_does() {
    let failed = on_big_stack(|| {
        let mut failed = Vec::new();
        for case in cases() {
            let text = std::fs::read(case.with_extension("json")).expect("each case has a result");
            let wanted: Value = serde_json::from_slice(&text).expect("the result is JSON");
            let arena = Arena::new();
            let nix = Evaluator::new(&arena, ComputeIo::new(), Settings::default());
            let name = case.file_name().map(|name| name.to_string_lossy().into_owned());
            match nix.eval_file(&case).and_then(|value| nix.to_json(value)) {
                Ok((found, _)) if same(&found, &wanted) => {}
                Ok((found, _)) => failed.push(format!("{name:?}: {found:#}")),
                Err(error) => failed.push(format!("{name:?}: {}", error.report())),
            }
        }
        failed
    });
    let failed = failed.expect("a thread can be started");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
