//! Evaluating again after an edit: only what the edit can change.
//!
//! A warm evaluator records for each thunk which thunks and which answers of the world ([`leaf`])
//! it asked for, in order. After an edit [`Evaluator::again`] asks the world again; what hangs on a
//! changed answer is marked, and checked only when the new evaluation demands it ([`force`]).
//!
//! ```text
//!  edit -> leaf changed -> readers marked -> demanded? -> its reads, in order: any changed?
//!                                                          no: the old value stands
//!                                                          yes: run again, and match (matching):
//!                                                            same code, same scope  -> the old thunk, with its value
//!                                                            same code, other scope -> the old thunk, to run again
//!                                                          same value as before? -> readers are not run
//! ```
//!
//! Why it is exact: evaluation is a function of code, scope and what is read. Scopes and values never
//! change once made, only thunks do, and a thunk of the old run is used for at most one thunk of the new
//! run. Whoever holds a thunk got it from a run that is checked before the thunk is; see
//! `docs/evaluation.md`. The property test in `tests/warm.rs` compares with cold evaluation.

mod force;
mod graph;
mod leaf;
mod matching;
mod parsed;
mod scope;
mod witness;

use std::path::PathBuf;
use std::rc::Rc;

use crate::Evaluator;
use crate::arena::Arena;
use crate::evaluator::Settings;
use crate::io::Io;

pub(crate) use graph::Graph;
pub(crate) use leaf::Recorder;
pub(crate) use matching::Site;
pub use witness::{Seen, Witness};

/// A file or directory that an evaluation read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watched {
    /// Where it is, or would be.
    pub path: PathBuf,
    /// Whether everything below it counts too.
    pub below: bool,
}

/// What a warm evaluator did in its last run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WarmStats {
    /// Thunks that were run.
    pub run: usize,
    /// Thunks that were checked and stood.
    pub checked: usize,
    /// Thunks recorded since the beginning.
    pub thunks: usize,
    /// Files, directories and other answers of the world that are watched.
    pub leaves: usize,
}

impl<'a> Evaluator<'a> {
    /// An evaluator that can be asked [`Evaluator::again`] after files have changed.
    ///
    /// It takes about three times the memory of [`Evaluator::new`] and grows with every edit: drop it
    /// with its arena when [`Arena::size`] has doubled.
    pub fn warm(arena: &'a Arena, io: impl Io + 'a, settings: Settings) -> Self {
        let graph = Rc::new(Graph::new(Rc::new(io)));
        let mut evaluator = Evaluator::new(arena, Recorder::new(graph.clone()), settings);
        let _ = graph.sources.set(evaluator.sources.clone());
        evaluator.graph = Some(graph);
        evaluator
    }

    /// Run `body` in this evaluator: the first time from nothing, later only what `changed` can
    /// change. `None` looks at everything that was read; paths name files, or directories with all below.
    ///
    /// Values from an earlier run are not to be used in `body`.
    pub fn again<T>(&self, changed: Option<&[PathBuf]>, body: impl FnOnce(&Self) -> T) -> T {
        let Some(graph) = &self.graph else { return body(self) };
        graph.refresh(changed);
        self.forget_trees(&graph.leaves.borrow().changed_trees);
        self.parse_changed(graph);
        self.depth.set(0);
        self.restart_clock();
        graph.start_counting();
        self.carry_up();
        graph.enter_root();
        let result = body(self);
        graph.leave_root();
        result
    }

    /// The files and directories that the evaluation read: what to watch for changes.
    pub fn watched(&self) -> Vec<Watched> {
        self.graph.as_ref().map(|graph| graph.watched()).unwrap_or_default()
    }

    /// Whether changes at these paths can change anything.
    pub fn concerned_by(&self, paths: &[PathBuf]) -> bool {
        self.graph.as_ref().is_none_or(|graph| graph.concerned_by(paths))
    }

    /// What the last run did.
    pub fn warm_stats(&self) -> WarmStats {
        self.graph.as_ref().map(|graph| graph.stats()).unwrap_or_default()
    }

    /// Whether a change made what is kept unusable: drop the evaluator and begin anew.
    pub fn is_spoiled(&self) -> bool {
        self.graph.as_ref().is_some_and(|graph| graph.is_spoiled())
    }
}
