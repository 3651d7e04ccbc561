//! `hc store info`: what a store knows about paths.

use super::store_path;
use crate::commands::build;
use crate::commands::copy::End;
use crate::context::Globals;
use crate::error::{Code, Coded, Failure};
use crate::output;
use nix_store::{PathInfo, StorePath};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

/// Say what is known about paths: hash, size, references, signatures
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Paths in the store, or links to them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Ask this store, by an address as of `hc copy`
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// With everything they refer to
    #[arg(short, long)]
    recursive: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let end = End::open(globals, args.from.as_deref())?;
    let named = match &end {
        End::Store(store) => store.clone(),
        _ => build::store(globals)?,
    };
    let paths = args.paths.iter().map(|path| store_path(&named, path));
    let mut open = paths.collect::<anyhow::Result<BTreeSet<StorePath>>>()?;
    let (mut infos, mut seen) = (Vec::new(), open.clone());
    while !open.is_empty() {
        let found = end.source().query_many(&open).code(Code::Failed)?;
        if let Some(path) = open.iter().find(|path| !found.contains_key(*path)) {
            let message = format!("{}: it does not have {path}", end.source().name());
            return Err(Failure::new(Code::Failed, message).into());
        }
        open.clear();
        for info in found.into_values() {
            if args.recursive {
                open.extend(info.references.iter().filter(|r| seen.insert((*r).clone())).cloned());
            }
            infos.push(info);
        }
    }
    infos.sort_by(|a, b| a.path.cmp(&b.path));
    if args.json {
        return output::json(&infos.iter().map(describe).collect::<Vec<_>>());
    }
    infos.iter().try_for_each(print)
}

fn registered(info: &PathInfo) -> u64 {
    info.registered.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn describe(info: &PathInfo) -> Value {
    let references: Vec<String> = info.references.iter().map(ToString::to_string).collect();
    json!({
        "path": info.path.to_string(),
        "narHash": info.nar_hash.to_sri_string(),
        "narSize": info.nar_size,
        "references": references,
        "deriver": info.deriver.as_ref().map(ToString::to_string),
        "registrationTime": registered(info),
        "ultimate": info.ultimate,
        "signatures": info.signatures,
        "ca": info.ca.as_ref().map(nix_compat::CAHash::to_nix_string),
    })
}

fn print(info: &PathInfo) -> anyhow::Result<()> {
    output::line(&info.path)?;
    output::line(format_args!("  size        {}", output::bytes(info.nar_size)))?;
    output::line(format_args!("  hash        {}", info.nar_hash.to_sri_string()))?;
    if let Some(deriver) = &info.deriver {
        output::line(format_args!("  deriver     {deriver}"))?;
    }
    if let Some(ca) = &info.ca {
        output::line(format_args!("  content     {}", ca.to_nix_string()))?;
    }
    for signature in &info.signatures {
        output::line(format_args!("  signature   {signature}"))?;
    }
    for reference in &info.references {
        output::line(format_args!("  refers to   {reference}"))?;
    }
    Ok(())
}
