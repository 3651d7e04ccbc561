//! `hc agent evaluator`: keeps evaluators warm for the agent that started it.

use super::build;
use crate::context::Globals;
use crate::output;
use hc_deploy::Request;
use hc_deploy::far::{Answer, Evaluators, Order, Wanted};
use std::io::BufRead;
use std::sync::mpsc::channel;
use std::time::Duration;

/// Most of the host's memory that may be taken for it: one part of this many.
const PART_OF_MEMORY: u64 = 4;

/// Answers each line with a line, until there are no more of them.
pub fn run(globals: &Globals) -> anyhow::Result<()> {
    // When memory is short, this is what can be done without.
    let _ = hc_fs::plain::write("/proc/self/oom_score_adj".as_ref(), b"1000", 0o644);
    std::thread::spawn(watch_memory);
    let (lines_in, lines) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines_in.send(line).is_err() {
                return;
            }
        }
        // The agent has gone; nobody waits for what is being evaluated.
        std::process::exit(0);
    });
    let store = build::local_store(globals)?.into();
    let version = Globals::version()?;
    let mut evaluators = Evaluators::new(|wanted: &Wanted| open(&store, wanted, &version));
    for line in lines {
        let answer = match serde_json::from_str::<Order>(&line) {
            Ok(order) => evaluators.answer(order),
            Err(error) => Answer::Declined { why: error.to_string() },
        };
        output::json_line(&answer)?;
    }
    Ok(())
}

fn open(
    store: &nix_store::HostStore,
    wanted: &Wanted,
    version: &str,
) -> hc_deploy::Result<Request> {
    if wanted.version != version {
        return Err(hc_deploy::Error::Shape("this is another version of hc".into()));
    }
    let shape = |e: nix_compat::StorePathError| hc_deploy::Error::Shape(e.to_string());
    let builder = nix_compat::StoreDir::default().parse_path(wanted.builder.as_bytes());
    Ok(Request {
        directory: wanted.directory.clone(),
        untracked: wanted.untracked,
        cloud: wanted.cloud.clone(),
        host: wanted.host.clone(),
        overrides: wanted.overrides.clone(),
        builder: builder.map_err(shape)?,
        store: store.clone(),
        cache: None,
        version: version.to_owned(),
        fetch: crate::nix_io::fetch_config(),
        registries: crate::nix_io::registries(),
        features: wanted.features.clone(),
        show_trace: wanted.show_trace,
        colour: wanted.colour,
        message: |_| {},
    })
}

/// Ends the process when it takes too much: whoever waits for it evaluates without it.
fn watch_memory() {
    let all = kilobytes("/proc/meminfo", "MemTotal:").unwrap_or(u64::MAX);
    loop {
        if kilobytes("/proc/self/status", "VmRSS:").is_some_and(|own| own > all / PART_OF_MEMORY) {
            std::process::exit(1);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn kilobytes(file: &str, field: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}
