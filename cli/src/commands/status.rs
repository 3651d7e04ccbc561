//! `hc status`: everything about one machine.

use super::agent;
use crate::context::Globals;
use crate::error::{Code, Failure};
use crate::output;
use hc_agent::wire::MachineView;
use hc_runtime::{Exit, Forked, Phase, Places, Stage, Status, Usage};
use hc_spec::MachineSpec;
use hc_spec::machine::{Limits, Restart};
use serde::Serialize;
use std::net::IpAddr;
use std::path::PathBuf;

/// Show one machine: its state, how it last ended, what it uses and may use, what it runs from
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the machine
    machine: String,
    /// Show where the time of its start went
    #[arg(long)]
    timing: bool,
    /// Print JSON, with the timing
    #[arg(long)]
    json: bool,
}

/// What is printed as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    name: String,
    kind: Option<hc_spec::machine::Kind>,
    phase: String,
    ready: bool,
    /// Unix milliseconds at which it came to its phase.
    since_ms: Option<u64>,
    pid: Option<i32>,
    supervisor_pid: Option<i32>,
    restarts: u64,
    /// How the last run ended.
    exit: Option<Exit>,
    /// What it says about itself.
    text: Option<String>,
    /// Its last answer to `health`, when that was a bad one.
    unwell: Option<String>,
    addresses: Vec<IpAddr>,
    networks: Vec<hc_spec::Name>,
    /// Networks, and links of the host, that it should be on and is cut off from while it runs.
    cut_off: Vec<String>,
    closure: PathBuf,
    rootfs: Option<PathBuf>,
    command: Vec<String>,
    restart: Option<Restart>,
    limits: Limits,
    /// Bytes of memory that a virtual machine has: what is used of it is taken from the host, and what its
    /// system frees is given back.
    vm_memory: Option<u64>,
    /// Bytes of the file system that keeps what it writes over its image, where that has a size.
    root_size: Option<u64>,
    usage: Option<Usage>,
    timing: Vec<Stage>,
    /// What it is a fork of.
    #[serde(skip_serializing_if = "Option::is_none")]
    fork: Option<Forked>,
    /// Why it did not start from saved memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    cold: Option<String>,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let name = hc_spec::Name::new(args.machine.as_str())?;
    let machines = agent::reach(globals)?.machines().map_err(agent::failure)?;
    let view = machines.into_iter().find(|machine| machine.name == name);
    let status = Status::read(&globals.run_dir, name.as_str())?;
    if view.is_none() && status.is_none() {
        return Err(Failure::new(Code::Failed, format!("there is no machine '{name}'"))
            .hint("`hc ps` lists the machines of this host")
            .into());
    }
    let report = gather(globals, name.to_string(), view, status);
    if args.json {
        return output::json(&report);
    }
    print(&report)?;
    if args.timing { timing(&report.timing) } else { Ok(()) }
}

/// What the agent says, what the supervisor wrote down, and what the description asks for.
fn gather(
    globals: &Globals,
    name: String,
    view: Option<MachineView>,
    status: Option<Status>,
) -> Report {
    let closure = view.as_ref().map(|view| view.closure.clone());
    let closure = closure.or_else(|| status.as_ref().map(|status| status.closure.clone()));
    let closure = closure.unwrap_or_default();
    let text = std::fs::read(globals.physical(&closure)).unwrap_or_default();
    let spec = MachineSpec::from_json(&text).ok();
    // A status of another closure is about what ran before.
    let physical = globals.physical(&closure);
    let status = status.filter(|status| [&closure, &physical].contains(&&status.closure));
    let runs = status.as_ref().filter(|status| !status.phase.is_over());
    let phase = match (&view, &status) {
        (Some(view), _) => view.phase.to_string(),
        (None, Some(status)) => format!("{:?}", status.phase).to_lowercase(),
        (None, None) => "unknown".into(),
    };
    let exit = view.as_ref().map(|view| view.exit.clone());
    Report {
        name,
        kind: spec.as_ref().map(|spec| spec.kind),
        ready: phase == "ready",
        phase,
        since_ms: status.as_ref().map(|status| status.since),
        pid: runs.and_then(|status| status.payload_pid),
        supervisor_pid: runs.map(|status| status.supervisor_pid),
        restarts: view.as_ref().map_or(0, |view| view.restarts),
        exit: exit.unwrap_or_else(|| status.as_ref().and_then(|status| status.exit.clone())),
        text: runs.and_then(|status| status.text.clone()),
        unwell: runs.and_then(|status| status.unwell.clone()),
        addresses: runs.map_or_else(Vec::new, |status| status.addresses.clone()),
        networks: spec.as_ref().map_or_else(Vec::new, |spec| spec.networks.clone()),
        cut_off: cut_off(spec.as_ref(), runs),
        closure,
        rootfs: spec.as_ref().and_then(|spec| spec.image.file().map(Into::into)),
        command: spec.as_ref().map_or_else(Vec::new, |spec| spec.command.clone()),
        restart: spec.as_ref().map(|spec| spec.restart.clone()),
        vm_memory: spec.as_ref().and_then(|spec| {
            let own = spec.q35.as_ref().map(|q35| q35.memory);
            spec.vm.as_ref().map(|vm| vm.memory).or(own)
        }),
        root_size: spec.as_ref().and_then(|spec| {
            let layer = spec.vm.as_ref().filter(|_| spec.image.disk.is_none());
            layer.map(|vm| vm.layer_size).or(spec.limits.root_size)
        }),
        limits: spec.map(|spec| spec.limits).unwrap_or_default(),
        usage: runs.map(|status| Usage {
            root_bytes: hc_runtime::used_by_layer(&places(globals, &status.name)),
            ..Usage::of(&status.cgroups)
        }),
        fork: runs.and_then(|status| status.fork.clone()),
        cold: runs.and_then(|status| status.cold.clone()),
        timing: status.map(|status| status.timing).unwrap_or_default(),
    }
}

fn cut_off(spec: Option<&MachineSpec>, runs: Option<&Status>) -> Vec<String> {
    let process = runs.filter(|status| matches!(status.phase, Phase::Running | Phase::Ready));
    let process = process.and_then(|status| status.payload_pid);
    let lost = spec.zip(process).map(|(spec, pid)| hc_net::links::lost(spec, pid));
    // It may just have ended.
    lost.and_then(Result::ok).unwrap_or_default()
}

fn places(globals: &Globals, name: &hc_spec::Name) -> Places {
    Places::new(&globals.run_dir, &globals.state_dir, name.as_str())
}

fn print(report: &Report) -> anyhow::Result<()> {
    let since = report.since_ms.and_then(|ms| {
        let at = jiff::Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
        let ago = jiff::Timestamp::now().duration_since(at).as_secs();
        let (ago, since) = (output::ago(u64::try_from(ago).unwrap_or(0)), output::time(ms / 1000));
        Some(format!(" for {ago} (since {since})"))
    });
    output::line(format_args!("{}: {}{}", report.name, report.phase, since.unwrap_or_default()))?;
    let row = |title: &str, text: String| match text.is_empty() {
        true => Ok(()),
        false => output::line(format_args!("  {title:<10} {text}")),
    };
    let list = |all: &[IpAddr]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    row("says", report.text.clone().unwrap_or_default())?;
    row("unwell", report.unwell.clone().unwrap_or_default())?;
    row("last exit", report.exit.as_ref().map_or(String::new(), ToString::to_string))?;
    if let Some(fork) = &report.fork {
        let ms = fork.pause_us as f64 / 1e3;
        row("fork of", format!("{}, which stood still for {ms:.1} ms", fork.of))?;
    }
    row("began cold", report.cold.clone().unwrap_or_default())?;
    row("restarts", report.restarts.to_string())?;
    let process = |pid: Option<i32>| pid.map_or("-".into(), |pid| pid.to_string());
    let supervisor = process(report.supervisor_pid);
    row("pid", format!("{}, supervised by {supervisor}", process(report.pid)))?;
    row("networks", report.networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))?;
    if !report.cut_off.is_empty() {
        let from = report.cut_off.join(" ");
        row("cut off", format!("from {from}: `hc restart {}` connects it again", report.name))?;
    }
    row("addresses", list(&report.addresses))?;
    row("command", report.command.join(" "))?;
    row("runs from", report.rootfs.as_ref().map_or(String::new(), |p| p.display().to_string()))?;
    row("closure", report.closure.display().to_string())?;
    for (title, text) in usage(report) {
        row(title, text)?;
    }
    Ok(())
}

/// What is used, of what may be.
fn usage(report: &Report) -> Vec<(&'static str, String)> {
    let limits = &report.limits;
    let usage = report.usage.clone().unwrap_or_default();
    let of = |used: Option<String>, limit: Option<String>| {
        let used = used.unwrap_or_else(|| "-".into());
        limit.map_or_else(|| format!("{used}, no limit"), |limit| format!("{used} of {limit}"))
    };
    let bytes = |count: Option<u64>| count.map(output::bytes);
    let mut memory = match report.vm_memory {
        None => of(bytes(usage.memory_bytes), bytes(limits.memory)),
        // QEMU's own comes on top.
        Some(own) => {
            let used = bytes(usage.anonymous_bytes).unwrap_or_else(|| "-".into());
            format!("{used} of the host's, for a machine with {}", output::bytes(own))
        }
    };
    if let Some(peak) = bytes(usage.memory_peak_bytes) {
        memory += &format!(", {peak} at most");
    }
    let cpu = usage.cpu_us.map(|us| format!("{:.2} s", us as f64 / 1e6));
    let mut rows = vec![
        ("memory", memory),
        ("cpu", of(cpu, limits.cpus.map(|cpus| format!("{cpus} processors")))),
        (
            "processes",
            of(
                usage.pids.map(|pids| pids.saturating_sub(1).to_string()),
                limits.pids.map(|pids| pids.to_string()),
            ),
        ),
    ];
    if report.root_size.is_some() {
        rows.push(("root", of(bytes(usage.root_bytes), bytes(report.root_size))));
    }
    if let (Some(read), Some(written)) = (usage.read_bytes, usage.written_bytes) {
        let (read, written) = (output::bytes(read), output::bytes(written));
        rows.push(("disks", format!("{read} read, {written} written")));
    }
    rows
}

fn timing(stages: &[Stage]) -> anyhow::Result<()> {
    let ms = |us: u64| format!("{}.{:03}", us / 1000, us % 1000);
    let rows = stages.iter().map(|stage| {
        let step = format!("{:?}", stage.step).to_lowercase();
        vec![step, ms(stage.from_us), ms(stage.to_us), ms(stage.to_us - stage.from_us)]
    });
    output::line("")?;
    output::table(&["STEP", "FROM ms", "TO ms", "TOOK ms"], rows)
}
