//! `hc gc`: delete what nothing needs any more.

mod state;

use super::{build, store};
use crate::context::Globals;
use crate::error::{Code, Failure};
use crate::output;
use crate::progress::Progress;
use hc_agent::{Generation, Generations};
use hc_runtime::base::Bases;
use hc_runtime::disk::{Disk, Disks};
use nix_compat::StorePath;
use nix_store::{GcOptions, Keep};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Generations that stay when nothing else is said.
const KEEP: usize = 10;

/// Delete old generations, and store paths that nothing refers to
///
/// What runs, what can be rolled back to, and what Nix keeps for other reasons stays. What keeps
/// what besides references is as nix.conf says it (keep-derivations, keep-outputs). Copies of images
/// that disks are forked from go with their images; an image that a disk reads stays. Saved virtual
/// machines go with what they were made from.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Generations to keep besides the current and the previous one [default: 10, or with --older-than 0]
    #[arg(long, value_name = "N")]
    keep: Option<usize>,
    /// Delete only generations that are older than AGE, such as 30d, 36h or 90m
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<Duration>,
    /// Stop once so much is freed, such as 500M or 20G (1024 each)
    #[arg(long, value_name = "BYTES", value_parser = size)]
    max: Option<u64>,
    /// Keep the outputs of derivations that stay (default: keep-outputs of nix.conf, or false)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    keep_outputs: Option<bool>,
    /// Keep the derivations of paths that stay (default: keep-derivations of nix.conf, or true)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    keep_derivations: Option<bool>,
    /// Delete what machines left that are in no generation any more: their files, disks and volumes,
    /// except volumes with `keep`
    #[arg(long)]
    state: bool,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// Only list what is kept for its own sake, and by what; deletes nothing
    #[arg(long, conflicts_with_all = ["keep", "older_than", "max", "dry_run"])]
    print_roots: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    if args.print_roots {
        return store::roots(globals, args.json);
    }
    Globals::need_root("gc")?;
    let progress = Progress::new();
    let generations = Generations::new(&globals.state_dir);
    let keep = args.keep.unwrap_or(if args.older_than.is_some() { 0 } else { KEEP });
    let since = args.older_than.map_or(u64::MAX, before);
    let pruned = if args.dry_run {
        generations.to_prune(keep, since)?
    } else {
        generations.prune(keep, since)?
    };
    progress.say("collecting");
    let store = build::store(globals)?;
    let Keep { derivations, outputs } = crate::nix_conf::keep()?;
    let state = match args.state {
        true => state::collect(globals, &generations, &pruned, args.dry_run)?,
        false => Vec::new(),
    };
    // What reads images in the store keeps them: the links of those that are gone go first.
    let (bases, disks) = (Bases::new(&globals.state_dir), Disks::new(&globals.state_dir));
    let released = bases.release(&|image| disks.read_image(image), args.dry_run)?;
    let options = GcOptions {
        dry_run: args.dry_run,
        keep: Keep {
            derivations: args.keep_derivations.unwrap_or(derivations),
            outputs: args.keep_outputs.unwrap_or(outputs),
        },
        max_freed: args.max.unwrap_or(u64::MAX),
        without: pruned.iter().map(|g| generations.root(g.number)).chain(released).collect(),
    };
    let report = store.gc(&options, &BTreeSet::new())?;
    let valid = store.valid_paths()?;
    let stays = |image: &str| {
        let path = StorePath::from_basename(image.as_bytes());
        path.is_ok_and(|path| valid.contains(&path) && !report.deleted.contains(&path))
    };
    let gone = bases.collect(&stays, args.dry_run)?;
    let in_store = |file: &Path| {
        let below = file.strip_prefix("/nix/store").ok();
        let image = below.and_then(|below| below.iter().next()?.to_str());
        image.is_some_and(stays)
    };
    let saved = hc_runtime::collect_saved(&globals.state_dir, &in_store, args.dry_run)?;
    let in_saved: u64 = saved.iter().map(|gone| gone.bytes).sum();
    let in_bases: u64 = gone.iter().map(|base| base.bytes).sum();
    let stray = stray(globals, &generations, &pruned)?;
    progress.clear();
    if args.json {
        return output::json(&serde_json::json!({
            "strayDisks": stray,
            "generations": pruned.iter().map(|g| g.number).collect::<Vec<_>>(),
            "paths": report.deleted.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "bytes": report.freed,
            "bases": gone,
            "saved": saved,
            "state": state,
            "dryRun": args.dry_run,
        }));
    }
    let verb = if args.dry_run { "would delete" } else { "deleted" };
    let bases = match gone.len() {
        0 => String::new(),
        number => format!("; bases of {number} images, {}", output::bytes(in_bases)),
    };
    let saved = match saved.len() {
        0 => String::new(),
        number => {
            format!("; {number} saved machines and empty layers, {}", output::bytes(in_saved))
        }
    };
    output::line(format_args!(
        "{verb} {} generations and {} store paths, {}{bases}{saved}",
        pruned.len(),
        report.deleted.len(),
        output::bytes(report.freed),
    ))?;
    for line in &state {
        output::line(format_args!("{verb} {line}"))?;
    }
    if !stray.is_empty() {
        let names: Vec<String> = stray.iter().map(Disk::name).collect();
        let bytes = stray.iter().map(|disk| disk.bytes).sum();
        output::line(format_args!(
            "kept disks of machines in no generation, {}: {}; `hc disk rm` removes them",
            output::bytes(bytes),
            names.join(", ")
        ))?;
    }
    Ok(())
}

/// Disks of machines that no generation has which stays: what is on them is the user's to judge.
fn stray(
    globals: &Globals,
    generations: &Generations,
    pruned: &[Generation],
) -> anyhow::Result<Vec<Disk>> {
    let mut disks = Disks::new(&globals.state_dir).list()?;
    if disks.is_empty() {
        return Ok(disks);
    }
    let described = state::described(globals, generations, pruned)?;
    disks.retain(|disk| described.iter().all(|name| name.as_str() != disk.machine));
    Ok(disks)
}

/// The time that was so long ago, in Unix milliseconds.
fn before(age: Duration) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.saturating_sub(age).as_millis()).unwrap_or(u64::MAX)
}

fn age(text: &str) -> Result<Duration, Failure> {
    let wrong = || Failure::new(Code::Failed, "an age is a number with d, h, m or s, such as 30d");
    let number = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let seconds: u64 = match &text[number.len()..] {
        "d" => 86_400,
        "h" => 3600,
        "m" => 60,
        "s" => 1,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

pub fn size(text: &str) -> Result<u64, Failure> {
    let wrong =
        || Failure::new(Code::Failed, "a size is a number of bytes, or one with K, M, G or T");
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" => 0,
        "K" | "KIB" => 10,
        "M" | "MIB" => 20,
        "G" | "GIB" => 30,
        "T" | "TIB" => 40,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_sizes_have_units() {
        assert_eq!(age("36h").unwrap(), Duration::from_secs(36 * 3600));
        assert_eq!(
            [size("5").unwrap(), size("2G").unwrap(), size("1kib").unwrap()],
            [5, 2 << 30, 1024]
        );
        for wrong in ["", "d", "3", "-1d", "3w", "99999999999999999d", "3é"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "G", "-1", "1.5G", "99999999T", "3X", "3é"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
