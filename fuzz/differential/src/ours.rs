//! hc's evaluator, in this process.

use crate::outcome::{Outcome, classify};
use nix_lang::{Arena, ComputeIo, Error, ErrorKind, Evaluator, Settings};
use std::path::Path;
use std::time::Duration;

/// What the other Nix is to have on as well, beside `flakes` and `pipe-operators`.
const FEATURES: [&str; 4] =
    ["ca-derivations", "impure-derivations", "dynamic-derivations", "fetch-closure"];

/// Evaluates programs, each as `show 0 (PROGRAM)`, with an evaluator for each few.
pub fn evaluate(programs: &[String], directory: &Path) -> Vec<Outcome> {
    let outcomes = nix_lang::on_big_stack(|| {
        let mut outcomes = Vec::with_capacity(programs.len());
        for few in programs.chunks(200) {
            let arena = Arena::new();
            let settings = Settings {
                max_time: Some(Duration::from_secs(60)),
                features: FEATURES.map(str::to_owned).to_vec(),
                ..Settings::default()
            };
            let nix = Evaluator::new(&arena, ComputeIo::new(), settings);
            let show = nix.eval_str(crate::SHOW, directory);
            for program in few {
                let outcome = || -> Result<Vec<u8>, Error> {
                    let show = nix.eval_str("show: program: show 0 program", directory).and_then(
                        |apply| nix.apply(apply, show.as_ref().map_err(copy).copied()?),
                    )?;
                    let program = nix.delay_str(program, directory)?;
                    Ok(nix.to_text(nix.apply(show, program)?)?.0)
                };
                outcomes.push(match outcome() {
                    Ok(text) => {
                        Outcome::Value(String::from_utf8_lossy(&text).trim_end().to_owned())
                    }
                    Err(error) => class(&error),
                });
            }
        }
        outcomes
    });
    outcomes.expect("a thread for evaluation")
}

/// Which programs are programs at all.
pub fn parse(programs: &[String]) -> Vec<bool> {
    let parsed = nix_lang::on_big_stack(|| {
        let arena = Arena::new();
        let nix = Evaluator::new(&arena, ComputeIo::new(), Settings::default());
        programs.iter().map(|program| nix.delay_str(program, "/").is_ok()).collect()
    });
    parsed.expect("a thread for parsing")
}

fn copy(error: &Error) -> Error {
    panic!("the program that shows values is wrong: {}", error.report())
}

fn class(error: &Error) -> Outcome {
    let by_message = classify(error.message());
    let Outcome::Error(found, message) = by_message else { return by_message };
    let class = match (error.kind(), found) {
        (ErrorKind::Syntax, _) => "syntax",
        (ErrorKind::UndefinedVar, _) => "undefined",
        (ErrorKind::MissingAttr, _) => "missing",
        (ErrorKind::InfiniteRecursion, _) => "recursion",
        (ErrorKind::StackOverflow, _) => "depth",
        (ErrorKind::Assert, _) => "assert",
        (ErrorKind::Abort, _) => "abort",
        (ErrorKind::Type, "other") => "type",
        (ErrorKind::Limit, _) => return Outcome::Nothing,
        (_, found) => found,
    };
    Outcome::Error(class, message)
}
