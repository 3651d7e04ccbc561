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
        let users: Vec<&str> = image.machines.iter().chain(&image.forks).map(|u| &**u).collect();
        let machines = if users.is_empty() { "-".to_owned() } else { users.join(", ") };
        let kind = image.kind.name();
        let base = match &image.base {
            Some(base) if base.copy.is_some() || base.root.is_some() => output::bytes(base.bytes),
            Some(_) => "in the store".to_owned(),
            None => "-".to_owned(),
        };
        let (size, disk) = (output::bytes(image.size), output::bytes(image.disk));
        let path = image.path.display().to_string();
        vec![image.name.clone(), kind.to_owned(), size, disk, shared, base, machines, path]
    });
    output::table(&["NAME", "KIND", "SIZE", "ON DISK", "SHARED", "BASE", "MACHINES", "PATH"], rows)
}
