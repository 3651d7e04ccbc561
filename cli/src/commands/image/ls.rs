//! `hc image ls`: the images in the store.

use super::found;
use crate::context::Globals;
use crate::output;
use crate::progress::Progress;

/// List the images in the store, with what they take, share, and who runs from them
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let progress = Progress::new();
    progress.say("looking through the store");
    let images = found::all(globals)?;
    progress.clear();
    if args.json {
        return output::json(&images);
    }
    if images.is_empty() {
        return output::line("no images; `hc image import FILE` makes one, and so does a deploy");
    }
    let rows = images.iter().map(|image| {
        let shared = match (image.shared, image.shared_layers.len()) {
            (0, 0) => "-".to_owned(),
            (0, layers) => format!("{layers} layers"),
            (bytes, _) => output::bytes(bytes),
        };
        let machines = match image.machines.is_empty() {
            true => "-".to_owned(),
            false => image.machines.join(", "),
        };
        let (size, disk) = (output::bytes(image.size), output::bytes(image.disk));
        let (name, kind) = (image.name.clone(), image.kind.to_owned());
        vec![name, kind, size, disk, shared, machines, image.path.display().to_string()]
    });
    output::table(&["NAME", "KIND", "SIZE", "ON DISK", "SHARED", "MACHINES", "PATH"], rows)
}
