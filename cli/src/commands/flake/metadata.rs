//! `hc flake metadata`: where a flake comes from, and what its inputs are locked to.

use super::{LookArgs, Wish, nixed};
use crate::context::Globals;
use crate::output;
use nix_compat::flake_ref::{Attrs, to_json};
use nix_lang::{LockedFlake, RefAttr};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// Show where a flake comes from, and what its inputs are locked to
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The flake
    #[arg(default_value = ".")]
    flake: String,
    #[command(flatten)]
    look: LookArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let found = Wish::new(&args.flake, &args.look)
        .with(globals, |look| nixed(look.nix.lock_flake(&look.flake, &look.options)))?;
    let locks: Json = serde_json::from_str(&found.lock)?;
    if args.json {
        return output::json(&as_json(&found, locks));
    }
    print(&found, &locks)
}

fn as_json(found: &LockedFlake, locks: Json) -> BTreeMap<&'static str, Json> {
    let attrs = found.locked.to_attrs();
    let mut locked = attrs.clone();
    // As Nix says that nothing is left to find out.
    locked.insert("__final".into(), RefAttr::Bool(true));
    let mut all = BTreeMap::from([
        ("locked", to_json(&locked)),
        ("locks", locks),
        ("original", to_json(&found.original.to_attrs())),
        ("originalUrl", found.original.to_string().into()),
        ("path", found.path.clone().into()),
        ("resolved", to_json(&found.resolved.to_attrs())),
        ("resolvedUrl", found.resolved.to_string().into()),
        ("url", found.locked.to_string().into()),
    ]);
    if let Some(text) = &found.description {
        all.insert("description", text.clone().into());
    }
    for (name, attribute) in [("revision", "rev"), ("dirtyRevision", "dirtyRev")] {
        if let Some(RefAttr::Text(text)) = attrs.get(attribute) {
            all.insert(name, text.clone().into());
        }
    }
    for name in ["revCount", "lastModified"] {
        if let Some(RefAttr::Int(number)) = attrs.get(name) {
            all.insert(name, (*number).into());
        }
    }
    all
}

fn time(attrs: &Attrs) -> Option<String> {
    let Some(RefAttr::Int(seconds)) = attrs.get("lastModified") else { return None };
    let time = jiff::Timestamp::from_second(i64::try_from(*seconds).ok()?).ok()?;
    Some(time.strftime("%F %T").to_string())
}

fn print(found: &LockedFlake, locks: &Json) -> anyhow::Result<()> {
    let attrs = found.locked.to_attrs();
    let text = |name: &str| attrs.get(name).map(RefAttr::in_query);
    output::line(format!("Resolved URL:  {}", found.resolved))?;
    if found.locked.input.is_locked() {
        output::line(format!("Locked URL:    {}", found.locked))?;
    }
    let lines = [
        ("Description:   ", found.description.clone()),
        ("Path:          ", Some(found.path.clone())),
        ("Revision:      ", text("rev").or_else(|| text("dirtyRev"))),
        ("Revisions:     ", text("revCount")),
        ("Last modified: ", time(&attrs)),
    ];
    for (label, value) in lines {
        if let Some(value) = value {
            output::line(format!("{label}{value}"))?;
        }
    }
    let none = Map::new();
    let nodes = locks.get("nodes").and_then(Json::as_object).unwrap_or(&none);
    let root = locks.get("root").and_then(Json::as_str).unwrap_or_default();
    let has_inputs = nodes.get(root).and_then(|node| node.get("inputs")).is_some();
    if has_inputs {
        output::line("Inputs:")?;
    }
    inputs(nodes, root, "", &mut vec![root.to_owned()])
}

/// The inputs of a node as a tree; each node is opened once.
fn inputs(
    nodes: &Map<String, Json>,
    node: &str,
    prefix: &str,
    seen: &mut Vec<String>,
) -> anyhow::Result<()> {
    let all = nodes.get(node).and_then(|node| node.get("inputs")).and_then(Json::as_object);
    let all: Vec<(&String, &Json)> = all.into_iter().flatten().collect();
    for (index, (name, target)) in all.iter().enumerate() {
        let last = index + 1 == all.len();
        let branch = if last { "└───" } else { "├───" };
        let Some(target) = target.as_str() else {
            let path: Vec<&str> =
                target.as_array().into_iter().flatten().filter_map(Json::as_str).collect();
            output::line(format!("{prefix}{branch}{name} follows input '{}'", path.join("/")))?;
            continue;
        };
        let locked = nodes.get(target).and_then(|node| node.get("locked"));
        let attrs = locked.and_then(|json| nix_compat::flake_ref::from_json(json).ok());
        let attrs = attrs.unwrap_or_default();
        let modified = time(&attrs).map(|time| format!(" ({time})")).unwrap_or_default();
        let reference = nix_lang::FlakeRef::from_attrs(attrs)?;
        output::line(format!("{prefix}{branch}{name}: {reference}{modified}"))?;
        if !seen.iter().any(|known| known == target) {
            seen.push(target.to_owned());
            inputs(
                nodes,
                target,
                &format!("{prefix}{}", if last { "    " } else { "│   " }),
                seen,
            )?;
        }
    }
    Ok(())
}
