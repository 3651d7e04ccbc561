//! `hc guest escape`: tries, from inside of a machine, what would lead out of it.
//!
//! Nothing here does damage where it succeeds: calls have arguments that fail for another reason
//! than the machine's confinement, files are opened and not written to. So the same program can run
//! on the host, where what confines a machine is absent and each assertion has to fail: a check that
//! passes everywhere checks nothing.

mod calls;
mod files;
mod privileges;
mod tricks;

use crate::output;
use serde::Serialize;
use std::process::ExitCode;

/// Try to get out of the machine, and say of each way whether it is closed
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run on a host as root, to see that the assertions can fail
    #[arg(long)]
    control: bool,
    /// Print JSON instead of TAP
    #[arg(long)]
    json: bool,
}

/// What came of one attempt: closed, or what was possible.
type Outcome = Result<(), String>;

/// One assertion.
struct Check {
    name: String,
    /// Whether it has to fail on a host, for root.
    fails_outside: bool,
    test: Box<dyn Fn() -> Outcome>,
}

impl Check {
    /// One that has to fail on a host.
    fn new(name: impl Into<String>, test: impl Fn() -> Outcome + 'static) -> Self {
        Self { name: name.into(), fails_outside: true, test: Box::new(test) }
    }

    /// One that may hold on a host as well.
    fn anywhere(name: impl Into<String>, test: impl Fn() -> Outcome + 'static) -> Self {
        Self { fails_outside: false, ..Self::new(name, test) }
    }
}

/// What is printed for each.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    name: String,
    ok: bool,
    /// What was possible.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// It is not looked at in a control run.
    skipped: bool,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut checks = privileges::checks();
    checks.extend(calls::checks());
    checks.extend(files::checks());
    checks.extend(tricks::checks());
    let said: Vec<Said> = checks.iter().map(|check| say(check, args.control)).collect();
    if args.json {
        output::json(&said)?;
    } else {
        output::line("TAP version 13")?;
        output::line(format_args!("1..{}", said.len()))?;
        for (number, said) in (1..).zip(&said) {
            let word = if said.ok { "ok" } else { "not ok" };
            let why = match (&said.why, said.skipped) {
                (_, true) => " # SKIP may hold on a host, too".to_owned(),
                (Some(why), false) => format!(" # {why}"),
                (None, false) => String::new(),
            };
            output::line(format_args!("{word} {number} - {}{why}", said.name))?;
        }
    }
    Ok(if said.iter().all(|said| said.ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn say(check: &Check, control: bool) -> Said {
    let name = check.name.clone();
    if control && !check.fails_outside {
        return Said { name, ok: true, why: None, skipped: true };
    }
    let outcome = (check.test)();
    let (ok, why) = match (control, outcome) {
        (false, outcome) => (outcome.is_ok(), outcome.err()),
        (true, Err(why)) => (true, Some(format!("on a host: {why}"))),
        (true, Ok(())) => (false, Some("holds on a host as well: it checks nothing".into())),
    };
    Said { name, ok, why, skipped: false }
}
