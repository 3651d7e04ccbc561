//! `hc image build`: the images of a cloud, before anybody deploys it.

use crate::commands::build;
use crate::context::Globals;
use crate::output;
use crate::progress::Progress;
use hc_spec::MachineSpec;

/// Build everything the machines of a cloud run from, and list their images
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    cloud: build::CloudArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let progress = Progress::new();
    let store = build::store(globals)?;
    let prepared = build::evaluate(globals, &store, &args.cloud, &progress)?;
    build::realise(&store, &prepared, &progress)?;
    progress.clear();
    let mut images = std::collections::BTreeMap::new();
    for (name, closure) in &prepared.machine_set().machines {
        let spec = MachineSpec::from_json(&std::fs::read(globals.physical(closure))?)?;
        images.insert(name.to_string(), spec.image.rootfs);
    }
    if args.json {
        return output::json(&images);
    }
    let rows = images.iter().map(|(name, path)| vec![name.clone(), path.display().to_string()]);
    output::table(&["MACHINE", "IMAGE"], rows)
}
