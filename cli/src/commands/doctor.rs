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

/// What machines need of the kernel.
fn machines() -> Vec<Row> {
    let features = hc_runtime::probe();
    let row = |what: &str, there: bool, without: &str| Row {
        what: what.into(),
        verdict: word(if there { Verdict::Good } else { Verdict::Bad }),
        detail: if there { "works".into() } else { without.into() },
    };
    let mut rows = vec![
        row("root", features.root, "hc makes namespaces, links and mounts: run it as root"),
        row("EROFS", features.erofs, "the kernel has no EROFS: modprobe erofs"),
        row("overlay", features.overlay, "the kernel has no overlayfs: modprobe overlay"),
        row(
            "user namespaces",
            features.user_namespaces,
            "not allowed here: see /proc/sys/user/max_user_namespaces",
        ),
        row("mapped mounts", features.idmapped_mounts, "needs Linux 5.19 or later"),
        row("system call filters", features.seccomp, "the kernel has no seccomp"),
        row(
            "control groups",
            features.cgroups != hc_runtime::CgroupMode::None,
            "none are mounted below /sys/fs/cgroup",
        ),
    ];
    if features.erofs && !features.erofs_files {
        rows.push(Row {
            what: "EROFS from files".into(),
            verdict: word(if features.loop_devices { Verdict::Weak } else { Verdict::Bad }),
            detail: "needs Linux 6.12; images are mounted through loop devices".into(),
        });
    }
    rows
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "good",
        Verdict::Weak => "weak",
        Verdict::Bad => "bad",
    }
}
