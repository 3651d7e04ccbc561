//! What is to be built before what, and who builds it.

use super::call::Call;
use super::options::may_substitute;
use super::realise::{Realiser, is_builtin};
use super::realised::{self, Realised};
use super::substitute::Substituters;
use super::{BuildEvent, BuildMode};
use crate::error::{Error, Result};
use crate::realisations::Realisation;
use crate::store::Store;
use nix_compat::resolve::is_impure;
use nix_compat::{Derivation, DrvOutput, StorePath};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How many builds may be on their way into the store besides those that run.
const REGISTERING: usize = 8;

pub(super) struct Node {
    pub path: StorePath,
    pub derivation: Derivation,
    /// It is not only an input of another.
    asked: bool,
    /// Nodes that wait for this one.
    dependents: BTreeSet<usize>,
    /// How many nodes this one waits for.
    waits: usize,
}

/// The derivations that must be built for some outputs.
#[derive(Default)]
pub(super) struct Graph {
    pub nodes: Vec<Node>,
    by_path: HashMap<StorePath, usize>,
    outputs: HashMap<StorePath, BTreeMap<String, Option<StorePath>>>,
    pub realised: Realised,
    /// Outputs that a binary cache has: nothing is built for them.
    pub substitutes: BTreeSet<StorePath>,
    /// What a cache says that outputs came to, whose paths are valid or among `substitutes`.
    pub promised: Vec<Realisation>,
    /// Derivations that were read and not looked at yet.
    read: HashMap<StorePath, Derivation>,
    mode: BuildMode,
}

impl Graph {
    pub fn new(
        store: &Store,
        wanted: &[DrvOutput],
        mode: BuildMode,
        substituters: &Substituters,
    ) -> Result<Self> {
        let mut graph = Self { mode, ..Self::default() };
        let mut open: Vec<(DrvOutput, Option<usize>)> =
            wanted.iter().map(|output| (output.clone(), None)).collect();
        while !open.is_empty() {
            let level = std::mem::take(&mut open);
            graph.prepare(store, &level, substituters)?;
            for (output, dependent) in level {
                let asked = dependent.is_none();
                let node = graph.look(store, &output, asked, &mut open, substituters)?;
                if let (Some(dependent), Some(node)) = (dependent, node)
                    && graph.nodes[node].dependents.insert(dependent)
                {
                    graph.nodes[dependent].waits += 1;
                }
            }
        }
        Ok(graph)
    }

    /// Reads a derivation and what is known of its outputs, once.
    fn read(&mut self, store: &Store, drv: &StorePath) -> Result<()> {
        if !self.outputs.contains_key(drv) {
            let derivation = store.derivation(drv)?;
            let outputs = self.realised.outputs(store, drv, &derivation)?;
            self.outputs.insert(drv.clone(), outputs);
            self.read.insert(drv.clone(), derivation);
        }
        Ok(())
    }

    /// Caches are asked for all outputs of one level together.
    fn prepare(
        &mut self,
        store: &Store,
        level: &[(DrvOutput, Option<usize>)],
        substituters: &Substituters,
    ) -> Result<()> {
        if substituters.is_empty() {
            return Ok(());
        }
        let mut paths = BTreeSet::new();
        for (output, _) in level {
            let drv = output.drv_path();
            self.read(store, drv)?;
            let path = self.outputs[drv].get(output.output_name()).and_then(Option::as_ref);
            if let (Some(path), Some(derivation)) = (path, self.read.get(drv))
                && may_substitute(derivation)
                && !store.is_valid(path)?
            {
                paths.insert(path.clone());
            }
        }
        substituters.prepare(&paths);
        Ok(())
    }

    /// The node that must be built for an output.
    fn look(
        &mut self,
        store: &Store,
        output: &DrvOutput,
        asked: bool,
        open: &mut Vec<(DrvOutput, Option<usize>)>,
        substituters: &Substituters,
    ) -> Result<Option<usize>> {
        let drv = output.drv_path();
        self.read(store, drv)?;
        let path = self.outputs[drv].get(output.output_name()).cloned();
        let path = path.ok_or_else(|| Error::NoSuchOutput { output: output.clone() })?;
        if let Some(node) = self.by_path.get(drv) {
            self.nodes[*node].asked |= asked;
            return Ok(Some(*node));
        }
        let again = asked && self.mode != BuildMode::Normal;
        if let Some(path) = &path
            && !again
            && store.is_valid(path)?
        {
            return Ok(None);
        }
        let derivation = match self.read.remove(drv) {
            Some(derivation) => derivation,
            None => store.derivation(drv)?,
        };
        if !again && self.substitute(store, output, path, &derivation, substituters)? {
            return Ok(None);
        }
        let node = self.nodes.len();
        for (input, wanted) in derivation.input_derivations() {
            for name in wanted.outputs().iter().chain(wanted.dynamic_outputs().keys()) {
                open.push((DrvOutput::new(input.clone(), name), Some(node)));
            }
        }
        let (dependents, waits) = (BTreeSet::new(), 0);
        self.nodes.push(Node { path: drv.clone(), derivation, asked, dependents, waits });
        self.by_path.insert(drv.clone(), node);
        Ok(Some(node))
    }

    /// Whether a cache has an output, or knows what it came to and has that.
    fn substitute(
        &mut self,
        store: &Store,
        output: &DrvOutput,
        path: Option<StorePath>,
        derivation: &Derivation,
        substituters: &Substituters,
    ) -> Result<bool> {
        let open = path.is_none();
        if substituters.is_empty() || !may_substitute(derivation) || open && is_impure(derivation) {
            return Ok(false);
        }
        let mut promised = None;
        if open {
            let key = realised::key(store, output.drv_path())?;
            promised = substituters.realisation(&key, output.output_name());
        }
        let Some(path) = path.or_else(|| Some(promised.as_ref()?.path.clone())) else {
            return Ok(false);
        };
        if open && store.is_valid(&path)? {
            self.promised.extend(promised);
            return Ok(true);
        }
        let offered = substituters.offer(&path, derivation);
        if offered {
            self.promised.extend(promised);
            self.substitutes.insert(path);
        }
        Ok(offered)
    }
}

#[derive(Default)]
struct State {
    builds: VecDeque<usize>,
    fetches: VecDeque<usize>,
    waits: Vec<usize>,
    running: usize,
    errors: Vec<Error>,
}

struct Work<'a> {
    call: &'a Call<'a>,
    graph: &'a Graph,
    cancelled: &'a (dyn Fn() -> bool + Sync),
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
}

/// Builds all nodes, inputs first.
pub(super) fn run(
    call: &Call<'_>,
    graph: &Graph,
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<()> {
    let config = call.store.config();
    let fetches = graph.nodes.iter().filter(|n| is_builtin(&n.derivation)).count();
    let builds = graph.nodes.len() - fetches;
    call.observer.event(BuildEvent::Plan { builds, fetches });
    let mut state =
        State { waits: graph.nodes.iter().map(|n| n.waits).collect(), ..State::default() };
    for (number, node) in graph.nodes.iter().enumerate().filter(|(_, n)| n.waits == 0) {
        state.push(number, node);
    }
    let work = Work {
        call,
        graph,
        cancelled,
        state: Mutex::new(state),
        changed: Condvar::new(),
        stop: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        for _ in 0..builds.min(config.jobs.max(1) + REGISTERING) {
            scope.spawn(|| work.worker(false));
        }
        for _ in 0..fetches.min(config.fetches.max(1)) {
            scope.spawn(|| work.worker(true));
        }
    });
    let mut errors = work.state.into_inner().unwrap_or_else(PoisonError::into_inner).errors;
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.remove(0)),
        _ => Err(Error::Several { errors }),
    }
}

impl State {
    fn push(&mut self, number: usize, node: &Node) {
        if is_builtin(&node.derivation) {
            self.fetches.push_back(number);
        } else {
            self.builds.push_back(number);
        }
    }
}

impl Work<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || (self.cancelled)()
    }

    fn worker(&self, fetches: bool) {
        while let Some(number) = self.next(fetches) {
            let node = &self.graph.nodes[number];
            let drv = &node.path;
            let realiser = Realiser {
                call: self.call,
                cancelled: &|| self.cancelled(),
                mode: self.graph.mode,
                realised: &self.graph.realised,
            };
            let done = realiser.run(drv, &node.derivation, node.asked);
            self.call.observer.event(match done {
                Ok(_) => BuildEvent::Finished { drv },
                Err(_) => BuildEvent::Failed { drv },
            });
            self.finish(number, done);
        }
    }

    /// The next node of this kind; nothing when there will be none.
    fn next(&self, fetches: bool) -> Option<usize> {
        let mut state = self.state();
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            let queue = if fetches { &mut state.fetches } else { &mut state.builds };
            if let Some(number) = queue.pop_front() {
                state.running += 1;
                return Some(number);
            }
            if state.running == 0 && state.builds.is_empty() && state.fetches.is_empty() {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn finish(&self, number: usize, done: Result<BTreeMap<String, StorePath>>) {
        let mut state = self.state();
        state.running -= 1;
        match done {
            Ok(outputs) => {
                self.graph.realised.tell(&self.graph.nodes[number].path, outputs);
                for &dependent in &self.graph.nodes[number].dependents {
                    state.waits[dependent] -= 1;
                    if state.waits[dependent] == 0 {
                        state.push(dependent, &self.graph.nodes[dependent]);
                    }
                }
            }
            Err(error) => {
                let cancelled = matches!(error, Error::Cancelled);
                if cancelled || !self.call.store.config().keep_going {
                    self.stop.store(true, Ordering::Relaxed);
                }
                // The first is the cause; without keep-going others were stopped because of it.
                if state.errors.is_empty() || (!cancelled && self.call.store.config().keep_going) {
                    state.errors.push(error);
                }
            }
        }
        drop(state);
        self.changed.notify_all();
    }
}
