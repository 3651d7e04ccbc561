//! `hc doctor`: what this host can and cannot do.

use crate::context::Globals;
use crate::error::{Code, Failure};
use crate::output;
use hc_net::probe::Verdict;
use serde::Serialize;

/// Say what this host can and cannot do, and what would help
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Fail when something hc needs is missing
    #[arg(long)]
    strict: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    what: String,
    verdict: &'static str,
    detail: String,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let mut rows: Vec<Row> = machines();
    rows.extend(hc_net::probe::probe().into_iter().map(|check| Row {
        what: check.what.to_owned(),
        verdict: word(check.verdict),
        detail: check.detail,
    }));
    rows.push(match super::build::store(globals) {
        Ok(_) => Row { what: "store".into(), verdict: "good", detail: "opens".into() },
        Err(error) => Row { what: "store".into(), verdict: "bad", detail: error.to_string() },
    });
    let missing: Vec<String> = rows
        .iter()
        .filter(|row| row.verdict == word(Verdict::Bad))
        .map(|row| format!("{}: {}", row.what, row.detail))
        .collect();
    if args.json {
        output::json(&rows)?;
    } else {
        let cells = rows.into_iter().map(|row| vec![row.verdict.to_owned(), row.what, row.detail]);
        output::table(&["", "WHAT", "DETAIL"], cells)?;
    }
    if args.strict && !missing.is_empty() {
        return Err(Failure::new(Code::Host, missing.join("; ")).into());
    }
    Ok(())
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "good",
        Verdict::Weak => "weak",
        Verdict::Bad => "bad",
    }
}
