//! `hc builder`: what image derivations run inside their sandbox.

/// Build an image from the environment of a derivation
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to build, as the derivation's `args` say
    what: String,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let environment = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    hc_image::builder::main(&args.what, &environment)?;
    Ok(())
}
