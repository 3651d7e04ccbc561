//! `hc image build`: images of a cloud, before anybody deploys it.

use crate::commands::build;
use crate::context::Globals;
use crate::error::{Code, Coded};
use crate::output;
use crate::progress::Progress;
use hc_spec::Name;
use std::path::PathBuf;

/// Build what machines of a cloud run from, and nothing else of it
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    cloud: build::CloudArgs,
    /// Machine whose image to build, several times for several; those of all where none is named
    #[arg(short, long, value_name = "NAME")]
    machine: Vec<Name>,
    /// Make a symlink to the image, LINK-NAME where there are several; as long as it is there, it is
    /// not collected
    #[arg(short, long, value_name = "LINK")]
    out_link: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let progress = Progress::new();
    let store = build::store(globals)?;
    let prepared = build::evaluate(globals, &store, &args.cloud, &progress)?;
    progress.say("building");
    let observer = build::Observer { progress: &progress };
    let built = prepared.build_images(&store, &args.machine, &observer);
    progress.clear();
    let images = built.code(Code::Build)?;
    for (name, image) in args.out_link.iter().flat_map(|_| &images) {
        let mut link = args.out_link.clone().unwrap_or_default().into_os_string();
        if images.len() > 1 {
            link.push(format!("-{name}"));
        }
        build::keep_link(&store, image, link.as_ref())?;
    }
    if args.json {
        return output::json(&images);
    }
    let rows = images.iter().map(|(name, path)| vec![name.to_string(), path.display().to_string()]);
    output::table(&["MACHINE", "IMAGE"], rows)
}
