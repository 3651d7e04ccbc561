//! `hc image base`: what forks of an image share, ahead of time.

use super::found::{self, Kind};
use crate::commands::disk;
use crate::context::Globals;
use crate::error::{Code, Failure};
use crate::output;
use crate::progress::Progress;
use hc_runtime::base::{Bases, ImageFile};

/// Copy the disk of an image to the file system of the state directory, where forks need that
///
/// The first fork does it too; this is for doing it before a machine is waited for. The copy is
/// made once, with its holes, and `hc gc` removes it with the image.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name or store path of the image, or a link to it
    image: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    Globals::need_root("image base")?;
    let image = found::one(globals, &args.image)?;
    if image.kind != Kind::Disk {
        let message =
            format!("{} is a root file system, which needs no base", image.path.display());
        let hint = "machines mount it where it lies in the store";
        return Err(Failure::new(Code::Failed, message).hint(hint).into());
    }
    let file = ImageFile::new(&image.path.join(image.kind.file()), globals.store.as_deref())?;
    let plan = disk::plan(globals)?;
    let made = if plan.of_copy {
        let progress = Progress::new();
        Some(Bases::new(&globals.state_dir).make_disk(&file, &disk::watch(&progress))?)
    } else {
        None
    };
    if args.json {
        return output::json(&serde_json::json!({ "copy": made, "method": plan.method }));
    }
    match made {
        Some(path) => output::line(path.display()),
        None => output::line("nothing to copy: forks share what is in the store"),
    }
}
