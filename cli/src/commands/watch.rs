//! `hc watch`: deploy after every save.

use super::{agent, build, deploy};
use crate::context::Globals;
use crate::output;
use crate::progress::Progress;
use hc_agent::Client;
use hc_agent::wire::{ActivateRequest, Outcome};
use hc_deploy::{Prepared, Watcher};
use nix_store::HostStore;
use serde_json::json;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Make this host run what a flake describes, again after every saved change
///
/// Keeps the evaluation in memory, so that an edit costs only what it changes. A mistake is shown and
/// nothing happens until the next save; a machine that does not become ready brings the generation before
/// it back, as with `hc deploy`. Ctrl-C ends it; what runs goes on.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    cloud: build::CloudArgs,
    /// Seconds after which a deploy goes back by itself, instead of the machines' own limits
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Print a line of JSON for each deploy
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    Globals::need_root("watch")?;
    let store = build::local_store(globals)?.into();
    let mut request = build::request(&store, &args.cloud)?;
    request.message = say;
    if let Some(fetch) = &mut request.fetch {
        fetch.message = say;
    }
    let client = agent::start(globals)?;
    let watcher = std::sync::Mutex::new((Watcher::new()?, Instant::now()));
    let mut session = Session { args, client, store, last: None };
    let mut ended = None;
    hc_deploy::keep(
        &request,
        |result| {
            let since = watcher.lock().map_or_else(|_| Instant::now(), |watcher| watcher.1);
            let done = result.map_err(anyhow::Error::from).and_then(|p| session.deploy(&p, since));
            if let Err(error) = done {
                session.failed(&error);
            }
        },
        |watched| {
            let mut watcher = watcher.lock().ok()?;
            let (watcher, since) = &mut *watcher;
            let changed = match watcher.watch(watched) {
                Ok(true) => Ok(watched.iter().map(|one| one.path.clone()).collect()),
                Ok(false) => watcher.wait(),
                Err(error) => Err(error),
            };
            *since = Instant::now();
            changed.map_err(|error| ended = Some(error)).ok()
        },
    )?;
    ended.map_or(Ok(()), |error| Err(error.into()))
}

/// Says what evaluation says, but not at each save that there are uncommitted changes.
fn say(text: &str) {
    static SAID: AtomicBool = AtomicBool::new(false);
    let dirty = text.starts_with("warning: Git tree ");
    if !dirty || !SAID.swap(true, Ordering::Relaxed) {
        eprintln!("{text}");
    }
}

struct Session<'a> {
    args: &'a Args,
    client: Client,
    store: HostStore,
    /// The set that was activated last, or that was tried.
    last: Option<PathBuf>,
}

impl Session<'_> {
    fn deploy(&mut self, prepared: &Prepared<'_>, since: Instant) -> anyhow::Result<()> {
        let set = prepared.set_path();
        if self.last.as_ref() == Some(&set) {
            return Ok(());
        }
        let evaluated = since.elapsed();
        for warning in prepared.warnings() {
            eprintln!("warning: {warning}");
        }
        let progress = Progress::new();
        build::realise(&self.store, prepared, &progress)?;
        progress.say("activating");
        let request = ActivateRequest {
            set: set.clone(),
            timeout_sec: self.args.timeout,
            by: Some(deploy::who("watch")),
        };
        let activation = self.client.activate(&request, true).map_err(agent::failure)?;
        // What could not even be tried is tried again at the next save.
        self.last = Some(set);
        progress.clear();
        let all = since.elapsed();
        if self.args.json {
            let millis = |time: std::time::Duration| time.as_secs_f64() * 1e3;
            return output::json_line(&json!({
                "activation": activation,
                "evaluation_ms": millis(evaluated),
                "total_ms": millis(all),
            }));
        }
        deploy::conclude(&activation, false)?;
        if activation.outcome == Outcome::Activated {
            output::line(format_args!("{:.0} ms after the save", all.as_secs_f64() * 1e3))?;
        }
        Ok(())
    }

    /// A mistake is for the person at the editor; it does not end anything.
    fn failed(&mut self, error: &anyhow::Error) {
        if self.args.json {
            let _ = output::json_line(&json!({ "error": error.to_string() }));
        } else {
            eprintln!("error: {error}");
        }
    }
}
