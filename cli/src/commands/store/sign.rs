//! `hc store sign`: signatures of what is in the store.

use super::store_path;
use crate::commands::build;
use crate::context::Globals;
use crate::error::{Code, Failure};
use crate::output;
use nix_compat::narinfo::SecretKey;
use nix_store::HostStore;
use std::path::{Path, PathBuf};

/// Sign paths of the store, so that caches and stores they are copied to can trust them
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Paths in the store, or links to them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// The file of the secret key, which `hc key generate` makes
    #[arg(short, long, value_name = "FILE")]
    key_file: PathBuf,
    /// Sign everything they refer to, too
    #[arg(short, long)]
    recursive: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let key = secret_key(&args.key_file)?;
    let store = build::store(globals)?;
    let paths = args.paths.iter().map(|path| store_path(&store, path));
    let mut paths = paths.collect::<anyhow::Result<std::collections::BTreeSet<_>>>()?;
    if args.recursive {
        paths = store.closure(&paths)?;
    }
    let signed = sign(&store, &key, &paths)?;
    if args.json {
        return output::json(&serde_json::json!({ "signed": signed }));
    }
    output::line(format_args!("{signed} of {} paths got a signature", paths.len()))
}

fn sign(
    store: &HostStore,
    key: &SecretKey,
    paths: &std::collections::BTreeSet<nix_store::StorePath>,
) -> anyhow::Result<usize> {
    let mut signed = 0;
    for path in paths {
        let signature = key.sign(&store.info(path)?.fingerprint());
        signed += usize::from(store.add_signature(path, &signature)?);
    }
    Ok(signed)
}

/// The secret key in a file.
pub fn secret_key(file: &Path) -> anyhow::Result<SecretKey> {
    let wrong =
        |reason: String| Failure::new(Code::Failed, format!("{}: {reason}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| wrong(e.to_string()))?;
    SecretKey::parse(&text).map_err(|e| wrong(e.to_string()).into())
}
