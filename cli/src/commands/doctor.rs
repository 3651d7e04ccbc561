//! `hc doctor`: what this host can and cannot do.

use crate::context::Globals;
use crate::error::{Code, Failure};
use crate::output;
use hc_net::probe::Verdict;
use hc_runtime::RootMethod;
use hc_runtime::disk::Method;
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
#[serde(rename_all = "camelCase")]
struct Row {
    what: String,
    verdict: &'static str,
    detail: String,
    /// Of forks: how they are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'static str>,
    /// Better ways of making them, and why they do not work here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    passed_over: Vec<String>,
}

impl Row {
    fn new(what: impl Into<String>, verdict: Verdict, detail: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            verdict: word(verdict),
            detail: detail.into(),
            method: None,
            passed_over: Vec::new(),
        }
    }
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let mut rows: Vec<Row> = machines();
    rows.extend(
        hc_net::probe::probe()
            .into_iter()
            .map(|check| Row::new(check.what, check.verdict, check.detail)),
    );
    rows.push(match super::build::store(globals) {
        Ok(_) => Row::new("store", Verdict::Good, "opens"),
        Err(error) => Row::new("store", Verdict::Bad, error.to_string()),
    });
    rows.extend([roots(globals), disks(globals), virtual_machines(globals)]);
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
    let row = |what: &str, there: bool, without: &str| match there {
        true => Row::new(what, Verdict::Good, "works"),
        false => Row::new(what, Verdict::Bad, without),
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
        rows.push(Row::new(
            "EROFS from files",
            if features.loop_devices { Verdict::Weak } else { Verdict::Bad },
            "needs Linux 6.12; images are mounted through loop devices",
        ));
    }
    rows
}

/// How the roots of containers are forked.
fn roots(globals: &Globals) -> Row {
    let found = hc_runtime::probe_roots(&globals.state_dir);
    let what = format!("roots in {}", globals.state_dir.display());
    let (verdict, method, detail) = match found.method {
        RootMethod::Overlay => (Verdict::Good, "overlay", "overlays over the image in the store"),
        RootMethod::Memory => (
            Verdict::Weak,
            "memory",
            "what machines write is kept in memory and lost when they stop",
        ),
    };
    let detail = because(detail, &found.passed_over);
    Row { method: Some(method), passed_over: found.passed_over, ..Row::new(what, verdict, detail) }
}

/// How the disks of virtual machines are forked.
fn disks(globals: &Globals) -> Row {
    let what = format!("disks in {}", globals.state_dir.display());
    let plan = match super::disk::plan(globals) {
        Ok(plan) => plan,
        Err(error) => return Row::new(what, Verdict::Bad, error.to_string()),
    };
    let (verdict, method, detail) = match (plan.method, plan.of_copy) {
        (Method::Reflink, false) => {
            (Verdict::Good, "reflink", "reflinks of the image in the store")
        }
        (Method::Reflink, true) => {
            (Verdict::Good, "reflink-of-copy", "reflinks of one copy of each image")
        }
        (Method::Overlay, _) => {
            (Verdict::Weak, "qcow2-overlay", "qcow2 overlays over the image in the store")
        }
    };
    let detail = because(detail, &plan.passed_over);
    Row { method: Some(method), passed_over: plan.passed_over, ..Row::new(what, verdict, detail) }
}

/// What runs virtual machines.
fn virtual_machines(globals: &Globals) -> Row {
    let what = "virtual machines";
    let named = super::machine::program("qemu-system-x86_64");
    let found = hc_runtime::probe_virtualisation(&globals.run_dir, named.as_deref());
    let Some(qemu) = found.qemu else {
        let without = "there is no qemu-system-x86_64: install the package 'qemu-system-x86'";
        return Row::new(what, Verdict::Weak, without);
    };
    let qemu = qemu.display();
    let passed_over: Vec<String> =
        found.tried.iter().filter_map(|tried| tried.passed_over.clone()).collect();
    let (verdict, method, detail) = match (found.kvm, found.tried.is_empty()) {
        (false, _) => (Verdict::Weak, "tcg", format!("{qemu} translates: /dev/kvm does not open")),
        (true, true) => (
            Verdict::Good,
            "kvm",
            format!("{qemu} with KVM, if guests come up with it: that is tried at the first start"),
        ),
        (true, false) if passed_over.is_empty() => {
            (Verdict::Good, "kvm", format!("{qemu} with KVM"))
        }
        (true, false) => {
            (Verdict::Weak, "tcg", because(&format!("{qemu} translates"), &passed_over))
        }
    };
    Row { method: Some(method), passed_over, ..Row::new(what, verdict, detail) }
}

fn because(detail: &str, passed_over: &[String]) -> String {
    match passed_over {
        [] => detail.to_owned(),
        reasons => format!("{detail} (not {})", reasons.join("; not ")),
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "good",
        Verdict::Weak => "weak",
        Verdict::Bad => "bad",
    }
}
