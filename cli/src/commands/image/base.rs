//! `hc image base`: what forks of an image share, ahead of time.

use super::found::{self, Kind};
use crate::commands::disk;
use crate::context::Globals;
use crate::error::{Code, Failure};
use crate::output;
use crate::progress::Progress;
use hc_runtime::base::{Bases, ImageFile};

/// Copy an image to the file system of the state directory, for forks to share
///
/// A disk is copied where forks of it need that, and its first fork does it too; this is for doing
/// it before a machine is waited for. A root file system is copied on btrfs: containers that are new
/// from then on get snapshots of it instead of overlays, and write into its large files without
/// copying them. Either is made once, and `hc gc` removes it with the image.
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
    let file = ImageFile::new(&image.path.join(image.kind.file()), globals.store.as_deref())?;
    let bases = Bases::new(&globals.state_dir);
    let progress = Progress::new();
    let watch = disk::watch(&progress);
    let made = match image.kind {
        Kind::Disk if disk::plan(globals)?.of_copy => Some(bases.make_disk(&file, &watch)?),
        Kind::Disk => None,
        Kind::Rootfs => Some(bases.make_root(&file, &watch)?),
        Kind::Nixos | Kind::Kernel | Kind::Initrd => {
            let message =
                format!("{} is no disk and no root file system: it has no base", image.name);
            return Err(Failure::new(Code::Failed, message).into());
        }
    };
    drop(watch);
    progress.clear();
    if args.json {
        return output::json(&serde_json::json!({ "copy": made }));
    }
    match made {
        Some(path) => output::line(path.display()),
        None => output::line("nothing to copy: forks share what is in the store"),
    }
}
