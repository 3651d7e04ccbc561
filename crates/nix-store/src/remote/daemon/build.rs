//! A daemon builds; its messages become what an observer is told.

use super::{Connection, Daemon, Refusal};
use crate::build::{BuildEvent, BuildMode, BuildObserver};
use crate::error::{Error, Result};
use nix_compat::wire::{self, BasicDerivation, BuildResult};
use nix_compat::worker::{Field, Message, Request};
use nix_compat::{DrvOutput, StorePath};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often the observer is asked whether it has had enough.
const PATIENCE: Duration = Duration::from_millis(100);

impl Daemon {
    /// Makes outputs valid: the daemon substitutes and builds what is missing.
    ///
    /// # Errors
    /// Why it did not come to that, by the daemon's words.
    pub fn build(
        &self,
        outputs: &[DrvOutput],
        mode: BuildMode,
        observer: &dyn BuildObserver,
    ) -> Result<BTreeMap<DrvOutput, StorePath>> {
        if outputs.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mode = match mode {
            BuildMode::Normal => 0,
            BuildMode::Repair => 1,
            BuildMode::Check => 2,
        };
        let request = Request::BuildPathsWithResults { targets: targets(outputs), mode };
        let results = self.with_both(|connection| {
            run(connection, &request, observer, &|connection| {
                let cpu = connection.version.has_cpu_times();
                let from = &mut connection.stream.from;
                from.many(|from| Ok((from.string()?, from.build_result(cpu)?)))
            })
        })?;
        let mut errors: Vec<Error> = results
            .into_iter()
            .filter(|(_, result)| !result.status.is_success())
            .map(|(target, result)| {
                let drv = target.split('!').next().unwrap_or_default().to_owned();
                let said = super::plain(&result.error);
                let reason = if said.contains(&drv) { said } else { format!("{drv}: {said}") };
                self.address.error(reason)
            })
            .collect();
        match errors.len() {
            0 => {}
            1 => return Err(errors.remove(0)),
            _ => return Err(Error::Several { errors }),
        }
        let mut paths = BTreeMap::new();
        let drvs: BTreeSet<&StorePath> = outputs.iter().map(DrvOutput::drv_path).collect();
        for drv in drvs {
            let known = self.outputs(drv)?;
            for output in outputs.iter().filter(|output| output.drv_path() == drv) {
                match known.get(output.output_name()) {
                    Some(Some(path)) => paths.insert(output.clone(), path.clone()),
                    _ => return Err(Error::NoSuchOutput { output: output.clone() }),
                };
            }
        }
        Ok(paths)
    }
}

impl Daemon {
    /// Has a path fetched from where the daemon substitutes from, if it is not valid.
    ///
    /// # Errors
    /// Why it did not come, by the daemon's words.
    pub fn ensure(&self, path: &StorePath, observer: &dyn BuildObserver) -> Result<()> {
        let request = Request::EnsurePath(path.clone());
        self.with_both(|connection| {
            run(connection, &request, observer, &|connection| connection.stream.from.number())
        })
        .map(drop)
    }

    /// Has a derivation built that it does not have, and whose inputs it has. Needs its trust, unless
    /// the paths of the outputs follow from what they hold. Why it failed is in the result.
    ///
    /// # Errors
    /// When it does not try.
    pub fn build_derivation(
        &self,
        path: StorePath,
        derivation: BasicDerivation,
        observer: &dyn BuildObserver,
    ) -> Result<BuildResult> {
        let request = Request::BuildDerivation { path, derivation, mode: 0 };
        self.with_both(|connection| {
            run(connection, &request, observer, &|connection| {
                let cpu = connection.version.has_cpu_times();
                connection.stream.from.build_result(cpu)
            })
        })
    }
}

/// How the protocol names what is to be built: `/nix/store/….drv!out,dev`.
pub(super) fn targets(outputs: &[DrvOutput]) -> Vec<String> {
    let mut wanted: BTreeMap<&StorePath, BTreeSet<&str>> = BTreeMap::new();
    for output in outputs {
        wanted.entry(output.drv_path()).or_default().insert(output.output_name());
    }
    let target = |(drv, names): (&StorePath, BTreeSet<&str>)| {
        format!("{drv}!{}", names.into_iter().collect::<Vec<_>>().join(","))
    };
    wanted.into_iter().map(target).collect()
}

/// Asks, and waits for the answer or for the observer to have had enough.
fn run<T>(
    connection: &mut Connection,
    request: &Request,
    observer: &dyn BuildObserver,
    read: &dyn Fn(&mut Connection) -> wire::Result<T>,
) -> Result<std::result::Result<T, Refusal>> {
    let (done, cancelled) = (AtomicBool::new(false), AtomicBool::new(false));
    let abort = std::mem::replace(&mut connection.stream.abort, Box::new(|| ()));
    let answer = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                if observer.cancelled() {
                    cancelled.store(true, Ordering::Relaxed);
                    abort();
                    return;
                }
                std::thread::park_timeout(PATIENCE);
            }
        });
        let answer = ask(connection, request, observer, read);
        done.store(true, Ordering::Relaxed);
        watcher.thread().unpark();
        answer
    });
    connection.stream.abort = abort;
    if cancelled.load(Ordering::Relaxed) {
        return Err(Error::Cancelled);
    }
    Ok(answer)
}

fn ask<T>(
    connection: &mut Connection,
    request: &Request,
    observer: &dyn BuildObserver,
    read: &dyn Fn(&mut Connection) -> wire::Result<T>,
) -> std::result::Result<T, Refusal> {
    request.write(&mut connection.stream.to)?;
    let mut builds = HashMap::new();
    connection.wait(&mut |message| tell(message, &mut builds, observer))?;
    Ok(read(connection)?)
}

/// Passes on what a daemon says. `builds` are the derivations of what is under way.
fn tell(message: Message, builds: &mut HashMap<u64, StorePath>, observer: &dyn BuildObserver) {
    match message {
        Message::Start { id, kind: Message::BUILD, fields, .. } => {
            let drv = match fields.first() {
                Some(Field::Text(text)) => text.parse::<StorePath>().ok(),
                _ => None,
            };
            if let Some(drv) = drv {
                observer.event(BuildEvent::Started { drv: &drv });
                builds.insert(id, drv);
            }
        }
        Message::Result { id, kind: Message::LOG_LINE, fields } => {
            if let (Some(drv), Some(Field::Text(line))) = (builds.get(&id), fields.first()) {
                observer.event(BuildEvent::Log { drv, line });
            }
        }
        Message::Stop { id } => {
            if let Some(drv) = builds.remove(&id) {
                observer.event(BuildEvent::Finished { drv: &drv });
            }
        }
        Message::Line(text) => {
            let text = super::plain(&text);
            if !text.trim().is_empty() {
                let text = text.trim();
                let text = text.strip_prefix("warning: ").unwrap_or(text);
                observer.event(BuildEvent::Warning { text });
            }
        }
        _ => {}
    }
}
