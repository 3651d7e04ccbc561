//! `hc disk`: what virtual machines write to.

mod snapshot;

use super::build;
use super::image::found::{self, Kind};
use crate::context::Globals;
use crate::error::{Code, Failure};
use crate::output;
use crate::progress::Progress;
use clap::Subcommand;
use hc_runtime::base::{Copying, ImageFile};
use hc_runtime::disk::{Disk, Disks, Method, Plan, Request, SECTOR, probe};
use hc_spec::Name;
use std::path::Path;

/// Look at the writable disks of machines, make them and remove them
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the disks, how they share what they did not change, and with which image; or the
    /// snapshots of some machines
    Ls {
        /// Machines whose snapshots are listed
        machines: Vec<Name>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    Fork(ForkArgs),
    Grow(GrowArgs),
    Snapshot(snapshot::Take),
    Restore(snapshot::Restore),
    /// Remove a disk of a machine that does not run, and what was written to it; or a snapshot
    Rm {
        /// The machine, or its snapshot
        #[arg(value_name = "MACHINE[@NAME]")]
        machine: snapshot::Which,
        /// Its disk
        #[arg(default_value = "root")]
        disk: Name,
    },
}

/// Make a disk from an image, without copying it: what is not written to stays shared
///
/// A disk of this name from the same image is left as it is.
#[derive(Debug, clap::Args)]
struct ForkArgs {
    /// Name or store path of the image, or a link to it
    image: String,
    /// The machine that it is for
    machine: Name,
    /// Its name there
    #[arg(default_value = "root")]
    disk: Name,
    /// Size, where it is to be larger than the image, such as 20G (1024 each)
    #[arg(long, value_name = "BYTES", value_parser = super::gc::size)]
    size: Option<u64>,
    /// Replace a disk that is there; what was written to it is lost
    #[arg(long)]
    replace: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Make a disk larger, while its machine runs too
///
/// Partitions and file systems on it are the machine's to grow.
#[derive(Debug, clap::Args)]
struct GrowArgs {
    /// The machine
    machine: Name,
    /// Its new size, such as 40G (1024 each)
    #[arg(value_parser = super::gc::size)]
    size: u64,
    /// Its disk, where it has several
    disk: Option<Name>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    match &args.what {
        What::Ls { machines, json } if machines.is_empty() => ls(globals, *json),
        What::Ls { machines, json } => snapshot::list(globals, machines, *json),
        What::Fork(args) => fork(globals, args),
        What::Grow(args) => grow(globals, args),
        What::Snapshot(args) => snapshot::take(globals, args),
        What::Restore(args) => snapshot::restore(globals, args),
        What::Rm { machine: snapshot::Which { machine, snapshot: None }, disk } => {
            rm(globals, machine, disk)
        }
        What::Rm { machine: snapshot::Which { machine, snapshot: Some(name) }, .. } => {
            snapshot::remove(globals, machine, name)
        }
    }
}

fn ls(globals: &Globals, json: bool) -> anyhow::Result<()> {
    let disks = Disks::new(&globals.state_dir).list()?;
    if json {
        return output::json(&disks);
    }
    if disks.is_empty() {
        return output::line("no disks; `hc disk fork IMAGE MACHINE` makes one");
    }
    let rows = disks.into_iter().map(|disk| {
        let (size, bytes) = (output::bytes(disk.size), output::bytes(disk.bytes));
        let image = disk.image.map_or_else(|| "-".to_owned(), |image| image.display().to_string());
        vec![disk.machine, disk.disk, word(disk.method).to_owned(), size, bytes, image]
    });
    output::table(&["MACHINE", "DISK", "KIND", "SIZE", "ON DISK", "IMAGE"], rows)
}

fn fork(globals: &Globals, args: &ForkArgs) -> anyhow::Result<()> {
    Globals::need_root("disk fork")?;
    idle(globals, &args.machine, args.replace)?;
    let image = found::one(globals, &args.image)?;
    if image.kind != Kind::Disk {
        let message = format!("{} is a root file system, no disk", image.path.display());
        return Err(Failure::new(Code::Failed, message)
            .hint("`hc image ls` says which are")
            .into());
    }
    let file = ImageFile::new(&image.path.join(image.kind.file()), globals.store.as_deref())?;
    let request = Request {
        machine: &args.machine,
        disk: &args.disk,
        image: &file,
        size: args.size,
        replace: args.replace,
    };
    let keep = |link: &Path| Ok(build::local_store(globals)?.add_root(link)?);
    let progress = Progress::new();
    let disk = Disks::new(&globals.state_dir).fork(&request, &keep, &watch(&progress))?;
    progress.clear();
    if args.json {
        return output::json(&disk);
    }
    output::line(disk.path.display())
}

fn grow(globals: &Globals, args: &GrowArgs) -> anyhow::Result<()> {
    Globals::need_root("disk grow")?;
    let machine = &args.machine;
    let disks = Disks::new(&globals.state_dir);
    let disk = match &args.disk {
        Some(disk) => disk.clone(),
        None => only(machine, disks.list()?)?,
    };
    let grown = if runs(globals, machine)? {
        // Its computer has it in hand.
        let size = args.size.next_multiple_of(SECTOR);
        hc_runtime::grow_disk(&globals.run_dir, machine, &disk, size)?;
        let mine = |found: &Disk| found.machine == machine.as_str() && found.disk == disk.as_str();
        disks.list()?.into_iter().find(mine)
    } else {
        disks.grow(machine, &disk, args.size)?
    };
    match grown {
        None => Err(missing(machine, &disk)),
        Some(disk) if args.json => output::json(&disk),
        Some(disk) => {
            let size = output::bytes(disk.size);
            output::line(format_args!("{}/{} has {size}", disk.machine, disk.disk))
        }
    }
}

/// The one disk that a machine has.
fn only(machine: &Name, mut disks: Vec<Disk>) -> anyhow::Result<Name> {
    disks.retain(|disk| disk.machine == machine.as_str());
    let message = match &disks[..] {
        [disk] => return Ok(Name::new(&disk.disk)?),
        [] => format!("machine '{machine}' has no disk"),
        _ => format!("machine '{machine}' has several disks: say which"),
    };
    Err(Failure::new(Code::Failed, message).hint("`hc disk ls` lists them").into())
}

fn missing(machine: &Name, disk: &Name) -> anyhow::Error {
    let message = format!("machine '{machine}' has no disk '{disk}'");
    Failure::new(Code::Failed, message).hint("`hc disk ls` lists them").into()
}

fn rm(globals: &Globals, machine: &Name, disk: &Name) -> anyhow::Result<()> {
    Globals::need_root("disk rm")?;
    idle(globals, machine, true)?;
    if Disks::new(&globals.state_dir).remove(machine, disk)? {
        return Ok(());
    }
    Err(missing(machine, disk))
}

/// Fails when the machine runs and would lose what it writes to.
fn idle(globals: &Globals, machine: &Name, matters: bool) -> anyhow::Result<()> {
    if matters && runs(globals, machine)? {
        let message = format!("machine '{machine}' runs, and may be writing to its disks");
        return Err(Failure::new(Code::Failed, message)
            .hint(format!("stop it first: hc stop {machine}"))
            .into());
    }
    Ok(())
}

fn runs(globals: &Globals, machine: &Name) -> anyhow::Result<bool> {
    let status = hc_runtime::Status::read(&globals.run_dir, machine.as_str())?;
    Ok(status.is_some_and(|status| status.is_supervised()))
}

/// How a disk that is made now would be.
pub fn plan(globals: &Globals) -> anyhow::Result<Plan> {
    let store = globals.physical(Path::new("/nix/store"));
    let findings = probe(&globals.state_dir, &store)?;
    hc_runtime::disk::plan(&findings)
        .map_err(|reasons| Failure::new(Code::Host, reasons.join("; ")).into())
}

/// Tells how far the copy of an image is: on a terminal as it goes, elsewhere once.
pub fn watch(progress: &Progress) -> impl Fn(Copying<'_>) {
    let said = std::cell::Cell::new(false);
    move |copying| {
        let file = copying.file.display();
        if !said.replace(true) {
            eprintln!(
                "copying {file} ({}) to the state directory's file system, once",
                output::bytes(copying.total)
            );
        }
        progress.say(format!(
            "copying {file}, {} of {}",
            output::bytes(copying.done),
            output::bytes(copying.total)
        ));
    }
}

pub fn word(method: Method) -> &'static str {
    match method {
        Method::Reflink => "reflink",
        Method::Overlay => "qcow2 overlay",
    }
}
