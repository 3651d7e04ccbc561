//! Results of evaluations, kept for the next process: where nothing that was read has changed, and the
//! machine set is in the store, there is nothing to evaluate.
//!
//! An entry is a file named after what was asked for (flake, cloud, host, version of hc, …). It says
//! what was read with digests of it, and what came of it. Its first line is the digest of the rest, so that a
//! damaged one is as none. Entries are put in place whole, by rename: two processes may do so at once.

use crate::assemble::{Door, Prepared};
use crate::cloud::{Request, door};
use crate::store_io::StoreIo;
use hc_spec::{HostSpec, MachineSpec};
use nix_compat::{StoreDir, StorePath};
use nix_lang::{ContextElem, Seen};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Changes with the format of entries.
const FORMAT: u32 = 1;

/// Entries that nobody has used for this long go when another one is written.
const OLD: Duration = Duration::from_secs(30 * 24 * 3600);

type Machines = Vec<(MachineSpec, Vec<ContextElem>, BTreeSet<StorePath>)>;

/// The result of the last evaluation of the same, if it would be the same again; else the door that the
/// world was asked through, to go on with.
pub(crate) fn recall(
    request: &Request,
    io: Box<StoreIo>,
) -> std::result::Result<Prepared<'static>, Box<StoreIo>> {
    let Some((set, host, machines, warnings)) = recalled(request, &io) else { return Err(io) };
    match Prepared::from_parts(Door::Own(io), host, machines, warnings) {
        Ok(prepared) if prepared.set == set => Ok(prepared),
        _ => Err(Box::new(door(request))),
    }
}

fn recalled(
    request: &Request,
    io: &StoreIo,
) -> Option<(StorePath, HostSpec, Machines, Vec<String>)> {
    let file = entry(request)?;
    let entry = read(&file)?;
    let set = StoreDir::default().parse_path(entry.get("set")?.as_str()?.as_bytes()).ok()?;
    if !request.store.is_valid(&set).ok()? {
        return None;
    }
    let seen = entry.get("seen")?.as_array()?;
    if !seen.iter().all(|seen| Seen::from_json(seen.clone()).holds(&io)) {
        return None;
    }
    let mut machines = Vec::new();
    for machine in entry.get("machines")?.as_array()? {
        let spec = MachineSpec::from_json(machine.get("spec")?.as_str()?.as_bytes()).ok()?;
        let mut references = BTreeSet::new();
        for path in machine.get("references")?.as_array()? {
            references.insert(StoreDir::default().parse_path(path.as_str()?.as_bytes()).ok()?);
        }
        machines.push((spec, Vec::new(), references));
    }
    let host: HostSpec = serde_json::from_value(entry.get("host")?.clone()).ok()?;
    let warnings = serde_json::from_value(entry.get("warnings")?.clone()).ok()?;
    // What was in use is not old.
    let _ = hc_fs::plain::touch(&file);
    Some((set, host, machines, warnings))
}

/// Keeps a result. A cache that cannot be written is no mistake of the evaluation.
pub(crate) fn keep(request: &Request, prepared: &Prepared<'_>, seen: &[Seen]) {
    let Some(file) = entry(request) else { return };
    let render = |path: &StorePath| StoreDir::default().render_path(path);
    let machines: Vec<Json> = prepared
        .machines
        .values()
        .map(|machine| {
            let references: Vec<String> = machine.references.iter().map(render).collect();
            json!({ "spec": machine.text, "references": references })
        })
        .collect();
    let Ok(host) = serde_json::from_str::<Json>(&prepared.host_text) else { return };
    let body = json!({
        "set": render(&prepared.set),
        "seen": seen.iter().map(Seen::to_json).collect::<Vec<_>>(),
        "machines": machines,
        "host": host,
        "warnings": prepared.warnings(),
    })
    .to_string();
    let text = format!("{}\n{body}", blake3::hash(body.as_bytes()).to_hex());
    let Some(directory) = file.parent() else { return };
    let _ = hc_fs::plain::create_dir_all(directory, 0o700)
        .and_then(|()| hc_fs::plain::replace(&file, text.as_bytes(), 0o600));
    forget_old(directory);
}

/// Where the result of a request is, if results are kept.
fn entry(request: &Request) -> Option<PathBuf> {
    let key = json!([
        FORMAT,
        request.version,
        request.directory.to_str()?,
        request.untracked,
        request.cloud,
        request.host,
        request.overrides,
        request.features,
        request.builder.to_basename(),
    ]);
    let name = blake3::hash(key.to_string().as_bytes()).to_hex();
    Some(request.cache.as_ref()?.join(name.as_str()))
}

fn read(file: &Path) -> Option<Json> {
    let text = std::fs::read_to_string(file).ok()?;
    let (digest, body) = text.split_once('\n')?;
    if blake3::hash(body.as_bytes()).to_hex().as_str() != digest {
        return None;
    }
    serde_json::from_str(body).ok()
}

fn forget_old(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let age = entry.metadata().and_then(|found| found.modified()).ok();
        let age = age.and_then(|time| SystemTime::now().duration_since(time).ok());
        if age.is_some_and(|age| age > OLD) {
            let _ = hc_fs::plain::remove_file(&entry.path());
        }
    }
}
