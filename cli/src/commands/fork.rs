//! `hc fork`: another machine that begins as one that runs is now.

use super::build;
use crate::context::Globals;
use crate::error::{Code, Failure};
use crate::output;
use hc_agent::{Generations, ThrowawayNetwork};
use hc_runtime::{Forked, ForkedDisk, Phase, Places, Status};
use hc_spec::addr::Place;
use hc_spec::lan::Lan;
use hc_spec::machine::{Kind, Restart, RestartPolicy};
use hc_spec::{MachineSpec, Name};
use nix_store::StorePath;
use serde::Serialize;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How often it is looked how far the fork is.
const TICK: Duration = Duration::from_millis(5);

/// Make another machine that begins as a running microVM is now: its memory, its processes, its disk and
/// volumes
///
/// It has a name, addresses, a machine id and SSH host keys of its own, on the networks of the original,
/// which stands still for some milliseconds. It is in no generation: a deploy leaves it alone, and when it
/// ends or `hc stop` stops it, it is gone with all that it wrote.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The running microVM
    machine: Name,
    /// Name of the new machine
    new: Name,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is printed as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    name: &'a Name,
    fork_of: &'a Name,
    /// Milliseconds that the original stood still.
    pause_ms: f64,
    disk: ForkedDisk,
    addresses: &'a [IpAddr],
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    Globals::need_root("fork")?;
    let _ = hc_runtime::sweep(&globals.run_dir, &globals.state_dir, None, &ThrowawayNetwork)?;
    let (original, status) = original(globals, &args.machine)?;
    let directory = globals.run_dir.join("machines").join(args.new.as_str());
    if let Some(taken) = taken(globals, &args.new, &original)? {
        return Err(failure(taken).hint("choose another name").into());
    }
    let restart = Restart { policy: RestartPolicy::Never, ..Restart::default() };
    // Addresses that somebody wrote down are the original's: on a wire of the host the fork has those that
    // its routers give it.
    let lan = original.lan.keys().map(|parent| (parent.clone(), Lan::default())).collect();
    let spec = MachineSpec { name: args.new.clone(), restart, lan, ..original.clone() };
    hc_fs::plain::create_dir_all(&directory, 0o755)?;
    let forked = (|| {
        let closure = directory.join("machine.json");
        hc_fs::plain::write(&closure, spec.to_json().as_bytes(), 0o644)?;
        if let Some(path) = in_store(globals, &status.closure) {
            // As long as it runs, nothing takes away what it runs from.
            build::keep_link(
                &build::store(globals)?,
                Path::new(&path.to_string()),
                &directory.join("image"),
            )?;
        }
        let supervisor = supervisor(globals, &closure, &args.machine)?;
        await_it(globals, &args.new, supervisor)
    })();
    let (fork, addresses) = match forked {
        Ok(forked) => forked,
        Err(error) => {
            let state = Some(globals.state_dir.as_path());
            hc_runtime::cleanup(&args.new, &globals.run_dir, state, None)?;
            return Err(error);
        }
    };
    let pause_ms = fork.pause_us as f64 / 1e3;
    if args.json {
        let (name, fork_of, disk) = (&args.new, &args.machine, fork.disk);
        return output::json(&Report { name, fork_of, pause_ms, disk, addresses: &addresses });
    }
    let disk = match (fork.disk, original.volumes.is_empty()) {
        (ForkedDisk::Reflink, true) => "shares its disk",
        (ForkedDisk::Reflink, false) => "shares its disk and volumes",
        (ForkedDisk::Copy, true) => "has a copy of its disk",
        (ForkedDisk::Copy, false) => "has copies of its disk and volumes",
    };
    output::line(format_args!(
        "{} is a fork of {}, which stood still for {pause_ms:.1} ms; it {disk}",
        args.new, args.machine
    ))
}

fn failure(message: impl Into<String>) -> Failure {
    Failure::new(Code::Failed, message)
}

/// What is to be forked, as it is described, and as it runs.
fn original(globals: &Globals, name: &Name) -> anyhow::Result<(MachineSpec, Status)> {
    let status = Status::read(&globals.run_dir, name.as_str())?;
    let status = status.filter(|status| status.is_supervised() && !status.phase.is_over());
    let status = status.ok_or_else(|| {
        failure(format!("machine '{name}' does not run")).hint("`hc ps` lists those that do")
    })?;
    let spec = MachineSpec::from_json(&std::fs::read(&status.closure)?)?;
    let refuse = |what: &str, hint: &str| {
        let message = format!("machine '{name}' cannot be forked: {what}");
        Err(failure(message).hint(hint.to_owned()).into())
    };
    match spec.kind {
        Kind::Container => refuse(
            "it is a container, whose memory is the host's",
            "running microVMs can be forked; `hc run` begins a container of the same image",
        ),
        Kind::Q35 => refuse(
            "it is a PC, which nobody could tell who it is",
            "running microVMs can be forked; `hc disk fork` forks an image's disk",
        ),
        Kind::Microvm if is_run(globals, name, &status) => refuse(
            "its command has the streams of an `hc run`",
            "running microVMs that were deployed, and their forks, can be forked",
        ),
        Kind::Microvm => Ok((spec, status)),
    }
}

/// Whether it is the machine of an `hc run`.
fn is_run(globals: &Globals, name: &Name, status: &Status) -> bool {
    let places = Places::new(&globals.run_dir, &globals.state_dir, name.as_str());
    status.fork.is_none() && places.throwaway().exists()
}

/// Who has the name already, or an address that follows from it.
fn taken(globals: &Globals, name: &Name, original: &MachineSpec) -> anyhow::Result<Option<String>> {
    let generations = Generations::new(&globals.state_dir);
    let mut others: BTreeSet<Name> =
        hc_agent::forks::views(&globals.run_dir).into_iter().map(|fork| fork.name).collect();
    if let Some(number) = generations.current()? {
        let set = hc_agent::read_set(globals.store.as_deref(), &generations.set(number)?)?;
        let mut named = set.host.machines.iter();
        if let Some((other, _)) = named.find(|(_, machine)| machine.aliases.contains(name)) {
            return Ok(Some(format!("machine '{other}' has the name '{name}', too")));
        }
        others.extend(set.machines.into_keys());
    }
    if others.contains(name) || globals.run_dir.join("machines").join(name.as_str()).exists() {
        return Ok(Some(format!("there is a machine '{name}' already")));
    }
    let (cloud, host) = (&original.cloud, &original.host);
    let shares = |other: &&Name| {
        original.networks.iter().any(|network| {
            let place = Place { cloud, host, network };
            place.v4(other) == place.v4(name)
        })
    };
    let same = others.iter().find(shares);
    Ok(same.map(|other| format!("machine '{other}' has the address that '{name}' would have")))
}

/// The path in the store that keeps what a machine runs from: its description, or that of which it is a
/// fork.
fn in_store(globals: &Globals, closure: &Path) -> Option<StorePath> {
    let of_fork = closure.parent().and_then(|dir| std::fs::read_link(dir.join("image")).ok());
    let path = of_fork.unwrap_or_else(|| closure.to_path_buf());
    let path = match &globals.store {
        Some(root) => Path::new("/").join(path.strip_prefix(root).unwrap_or(&path)),
        None => path,
    };
    let name = path.strip_prefix("/nix/store").ok()?.iter().next()?.to_str()?;
    StorePath::from_basename(name.as_bytes()).ok()
}

/// Starts the new machine's supervisor, which goes on without this process.
fn supervisor(globals: &Globals, closure: &PathBuf, of: &Name) -> anyhow::Result<Child> {
    let mut command = Command::new(Globals::exe()?);
    command.args(["machine", "run", "--fork-of", of.as_str()]).arg(closure);
    command.arg("--state-dir").arg(&globals.state_dir).arg("--run-dir").arg(&globals.run_dir);
    if let Some(store) = &globals.store {
        command.arg("--store").arg(store);
    }
    command.current_dir("/").env_remove("NOTIFY_SOCKET");
    command.env(hc_agent::REQUESTED, hc_runtime::now_ns().to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command.spawn()?)
}

/// Waits until the fork goes on as itself.
fn await_it(
    globals: &Globals,
    name: &Name,
    mut supervisor: Child,
) -> anyhow::Result<(Forked, Vec<IpAddr>)> {
    loop {
        let ended = supervisor.try_wait()?;
        let status = Status::read(&globals.run_dir, name.as_str())?;
        let own = status.filter(|status| {
            u32::try_from(status.supervisor_pid).is_ok_and(|pid| pid == supervisor.id())
        });
        if let Some(status) = own {
            match (status.phase, status.fork) {
                (Phase::Running | Phase::Ready, Some(fork)) => {
                    return Ok((fork, status.addresses));
                }
                (Phase::Exited | Phase::Failed, _) => {
                    supervisor.wait()?;
                    let why = status.exit.map_or_else(|| "it ended".into(), |e| e.to_string());
                    return Err(failure(why).into());
                }
                _ => {}
            }
        }
        if let Some(ended) = ended {
            let message = format!("the supervisor of '{name}' ended before it was a fork: {ended}");
            return Err(failure(message).into());
        }
        std::thread::sleep(TICK);
    }
}
