//! What is to be built before what, and who builds it.

use super::fetch::Downloader;
use super::realise::{Realiser, is_builtin, output_paths};
use super::{BuildEvent, BuildObserver};
use crate::error::{Error, Result};
use crate::store::Store;
use nix_compat::{Derivation, DrvOutput, StorePath};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

struct Node {
    path: StorePath,
    derivation: Derivation,
    /// Nodes that wait for this one.
    dependents: BTreeSet<usize>,
    /// How many nodes this one waits for.
    waits: usize,
}

/// The derivations that must be built for some outputs, and the outputs' paths.
#[derive(Default)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    by_path: HashMap<StorePath, usize>,
    outputs: HashMap<StorePath, BTreeMap<String, StorePath>>,
    pub wanted: BTreeMap<DrvOutput, StorePath>,
}

impl Graph {
    pub fn new(store: &Store, wanted: &[DrvOutput]) -> Result<Self> {
        let mut graph = Self::default();
        let mut open: Vec<(DrvOutput, Option<usize>)> =
            wanted.iter().map(|output| (output.clone(), None)).collect();
        while let Some((output, dependent)) = open.pop() {
            let (path, node) = graph.look(store, &output, &mut open)?;
            if let Some(dependent) = dependent {
                if let Some(node) = node
                    && graph.nodes[node].dependents.insert(dependent)
                {
                    graph.nodes[dependent].waits += 1;
                }
            } else {
                graph.wanted.insert(output, path);
            }
        }
        Ok(graph)
    }

    /// The output's path, and the node that must be built for it.
    fn look(
        &mut self,
        store: &Store,
        output: &DrvOutput,
        open: &mut Vec<(DrvOutput, Option<usize>)>,
    ) -> Result<(StorePath, Option<usize>)> {
        let drv = output.drv_path();
        let mut read = None;
        if !self.outputs.contains_key(drv) {
            let derivation = store.derivation(drv)?;
            self.outputs.insert(drv.clone(), output_paths(drv, &derivation)?);
            read = Some(derivation);
        }
        let path = self.outputs[drv].get(output.output_name()).cloned();
        let path = path.ok_or_else(|| Error::NoSuchOutput { output: output.clone() })?;
        if let Some(node) = self.by_path.get(drv) {
            return Ok((path, Some(*node)));
        }
        if store.is_valid(&path)? {
            return Ok((path, None));
        }
        let derivation = match read {
            Some(derivation) => derivation,
            None => store.derivation(drv)?,
        };
        let node = self.nodes.len();
        for (input, wanted) in derivation.input_derivations() {
            for name in wanted.outputs() {
                open.push((DrvOutput::new(input.clone(), name), Some(node)));
            }
        }
        let (dependents, waits) = (BTreeSet::new(), 0);
        self.nodes.push(Node { path: drv.clone(), derivation, dependents, waits });
        self.by_path.insert(drv.clone(), node);
        Ok((path, Some(node)))
    }
}

#[derive(Default)]
struct State {
    builds: VecDeque<usize>,
    fetches: VecDeque<usize>,
    waits: Vec<usize>,
    running: usize,
    error: Option<Error>,
}

struct Work<'a> {
    store: &'a Store,
    graph: &'a Graph,
    downloader: Downloader,
    observer: &'a dyn BuildObserver,
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
}

/// Builds all nodes, inputs first.
pub(super) fn run(store: &Store, graph: &Graph, observer: &dyn BuildObserver) -> Result<()> {
    let fetches = graph.nodes.iter().filter(|n| is_builtin(&n.derivation)).count();
    let builds = graph.nodes.len() - fetches;
    observer.event(BuildEvent::Plan { builds, fetches });
    let mut state =
        State { waits: graph.nodes.iter().map(|n| n.waits).collect(), ..State::default() };
    for (number, node) in graph.nodes.iter().enumerate().filter(|(_, n)| n.waits == 0) {
        state.push(number, node);
    }
    let work = Work {
        store,
        graph,
        downloader: Downloader::new(store.config()),
        observer,
        state: Mutex::new(state),
        changed: Condvar::new(),
        stop: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        for _ in 0..builds.min(store.config().jobs.max(1)) {
            scope.spawn(|| work.worker(false));
        }
        for _ in 0..fetches.min(store.config().fetches.max(1)) {
            scope.spawn(|| work.worker(true));
        }
    });
    match work.state.into_inner().unwrap_or_else(PoisonError::into_inner).error {
        Some(error) => Err(error),
        None => Ok(()),
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
        self.stop.load(Ordering::Relaxed) || self.observer.cancelled()
    }

    fn worker(&self, fetches: bool) {
        while let Some(number) = self.next(fetches) {
            let node = &self.graph.nodes[number];
            let drv = &node.path;
            self.observer.event(BuildEvent::Started { drv });
            let realiser = Realiser {
                store: self.store,
                downloader: &self.downloader,
                observer: self.observer,
                cancelled: &|| self.cancelled(),
            };
            let done = realiser.run(drv, &node.derivation);
            self.observer.event(match done {
                Ok(()) => BuildEvent::Finished { drv },
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

    fn finish(&self, number: usize, done: Result<()>) {
        let mut state = self.state();
        state.running -= 1;
        match done {
            Ok(()) => {
                for &dependent in &self.graph.nodes[number].dependents {
                    state.waits[dependent] -= 1;
                    if state.waits[dependent] == 0 {
                        state.push(dependent, &self.graph.nodes[dependent]);
                    }
                }
            }
            Err(error) => {
                let cancelled = matches!(error, Error::Cancelled);
                if cancelled || !self.store.config().keep_going {
                    self.stop.store(true, Ordering::Relaxed);
                }
                // The first is the cause; others were stopped because of it.
                state.error.get_or_insert(error);
            }
        }
        drop(state);
        self.changed.notify_all();
    }
}
