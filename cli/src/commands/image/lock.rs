//! `hc image lock`: the packages of a Debian image, pinned.

use crate::commands::build;
use crate::context::Globals;
use crate::error::{Code, Failure};
use crate::output;
use crate::progress::Progress;
use hc_image::debian::{Lock, LockRequest, Signature, Source, lock};
use std::path::{Path, PathBuf};

/// Pin the packages of a Debian image to what the archive has now, as `flake.lock` pins inputs
///
/// Without packages, what the file was made for is asked for again.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Lock file to write
    file: PathBuf,
    /// Packages the image should have, besides the essential ones
    packages: Vec<String>,
    /// Suite of the archive, such as bookworm or trixie; the file's own when it is there already
    #[arg(long)]
    suite: Option<String>,
    /// Architecture of the packages
    #[arg(long, default_value = "amd64")]
    arch: String,
    /// Accept an archive whose signature cannot be checked
    #[arg(long)]
    insecure: bool,
    /// Print what changed as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let old = read(&args.file)?;
    let sources = match (&args.suite, &old) {
        (Some(suite), _) => vec![Source::debian(suite)],
        (None, Some(old)) => old.sources.clone(),
        (None, None) => vec![Source::debian("trixie")],
    };
    let packages = match &old {
        Some(old) if args.packages.is_empty() => old.request.clone(),
        _ => args.packages.clone(),
    };
    let request = LockRequest {
        sources,
        arch: args.arch.clone(),
        packages,
        required: false,
        signature: if args.insecure { Signature::Insecure } else { Signature::debian() },
    };
    let progress = Progress::new();
    let store = build::store(globals)?;
    let fetch = |url: &str| {
        progress.say(format!("fetching {url}"));
        store.download(url).map_err(std::io::Error::other)
    };
    let new = lock(&request, &fetch);
    progress.clear();
    let new = new.map_err(|error| match error {
        hc_image::Error::Archive { ref url, ref why }
            if url.ends_with("/InRelease") && why.contains("404") =>
        {
            Failure::new(Code::Build, error.to_string()).hint(
                "the archive has no such suite; Debian's are such as bookworm, trixie and sid",
            )
        }
        error => Failure::new(Code::Build, error.to_string()),
    })?;
    hc_fs::durable::write(&args.file, new.to_json().as_bytes(), 0o644)?;
    report(old.as_ref(), &new, args.json)
}

fn read(file: &Path) -> anyhow::Result<Option<Lock>> {
    match std::fs::read_to_string(file) {
        Ok(text) => match Lock::from_json(&text) {
            Ok(lock) => Ok(Some(lock)),
            Err(why) => Err(Failure::new(Code::Failed, format!("{}: {why}", file.display()))
                .hint("remove it, or name another file")
                .into()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(Failure::new(Code::Failed, format!("cannot read {}: {error}", file.display()))
                .into())
        }
    }
}

/// Says which packages came, went and changed.
fn report(old: Option<&Lock>, new: &Lock, json: bool) -> anyhow::Result<()> {
    let version = |lock: Option<&Lock>, name: &str| {
        let package = lock?.packages.iter().find(|p| p.name == name)?;
        Some(package.version.clone())
    };
    let mut names: Vec<&str> = new.packages.iter().map(|p| p.name.as_str()).collect();
    names.extend(old.iter().flat_map(|o| &o.packages).map(|p| p.name.as_str()));
    names.sort_unstable();
    names.dedup();
    let changes: Vec<_> = names
        .into_iter()
        .map(|name| (name, version(old, name), version(Some(new), name)))
        .filter(|(_, before, after)| before != after)
        .collect();
    if json {
        return output::json(
            &changes
                .iter()
                .map(|(name, old, new)| serde_json::json!({"name": name, "old": old, "new": new}))
                .collect::<Vec<_>>(),
        );
    }
    let none = || "-".to_owned();
    for (name, before, after) in &changes {
        let (before, after) =
            (before.clone().unwrap_or_else(none), after.clone().unwrap_or_else(none));
        output::line(format_args!("{name}: {before} -> {after}"))?;
    }
    output::line(format_args!("{} packages, {} changed", new.packages.len(), changes.len()))
}
