//! The record of an evaluation: thunks, what they read, what they made.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::leaf::Leaves;
use super::matching::{Old, Site};
use super::parsed::Parsed;
use super::WarmStats;
use crate::Evaluator;
use crate::io::Io;
use crate::value::{Delayed, Env, NodeId, Thunk, ThunkState, Value};

/// How far the value of a node can be trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mark {
    /// It stands, or the thunk has not been run.
    Clean,
    /// Something below it changed.
    Suspect,
    /// Its code or its scope is another than that of its value.
    Stale,
    /// Being checked or run now.
    Busy,
}

/// What is kept of a thunk, or of a leaf (which has no thunk).
pub(super) struct Node<'a> {
    pub(super) thunk: Option<&'a Thunk<'a>>,
    pub(super) origin: Option<Delayed<'a>>,
    /// The last value; the state of the thunk says whether it is one now.
    pub(super) value: Option<Value<'a>>,
    /// What the last run read, in order.
    pub(super) reads: Box<[NodeId]>,
    /// What the last run made.
    pub(super) thunks: Box<[NodeId]>,
    pub(super) envs: Box<[(Site, &'a Env<'a>)]>,
    /// Who read this, perhaps no longer.
    pub(super) readers: Vec<NodeId>,
    /// The run in which the value became another one.
    pub(super) changed: u32,
    /// The run in which the value was last found to stand.
    pub(super) verified: u32,
    pub(super) mark: Mark,
    pub(super) failed: bool,
    /// The frame that read this last, so that it notes it once.
    reader: u32,
    /// The frame that took this over from its earlier run.
    pub(super) claimed: u32,
}

impl<'a> Node<'a> {
    pub(super) fn new(thunk: Option<&'a Thunk<'a>>, origin: Option<Delayed<'a>>) -> Self {
        Node {
            thunk,
            origin,
            value: None,
            reads: Box::default(),
            thunks: Box::default(),
            envs: Box::default(),
            readers: Vec::new(),
            changed: 0,
            verified: 0,
            mark: Mark::Clean,
            failed: false,
            reader: 0,
            claimed: 0,
        }
    }
}

/// One thunk being run.
pub(super) struct Frame<'a> {
    pub(super) node: NodeId,
    pub(super) serial: u32,
    reads: usize,
    thunks: usize,
    envs: usize,
    pub(super) old: Option<Box<Old<'a>>>,
}

#[derive(Default)]
pub(super) struct Inner<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) frames: Vec<Frame<'a>>,
    /// What the frames have read and made so far, the innermost last.
    reads: Vec<NodeId>,
    thunks: Vec<NodeId>,
    pub(super) envs: Vec<(Site, &'a Env<'a>)>,
    serial: u32,
    stats: WarmStats,
}

/// The record of an evaluation.
pub(crate) struct Graph<'a> {
    pub(super) io: Rc<dyn Io + 'a>,
    pub(super) inner: RefCell<Inner<'a>>,
    pub(super) leaves: RefCell<Leaves>,
    pub(super) parsed: RefCell<Parsed<'a>>,
    /// Thunks that belong to the whole evaluation: the values of imported files.
    pub(super) imports: RefCell<FxHashMap<Vec<u8>, &'a Thunk<'a>>>,
    pub(super) now: Cell<u32>,
    pub(super) spoiled: Cell<bool>,
}

/// The node of what is run from outside; 0 stands for no node.
const ROOT: NodeId = 1;

impl<'a> Graph<'a> {
    pub(super) fn new(io: Rc<dyn Io + 'a>) -> Self {
        let mut inner = Inner::default();
        inner.nodes.push(Node::new(None, None));
        inner.nodes.push(Node::new(None, None));
        Graph {
            io,
            inner: RefCell::new(inner),
            leaves: RefCell::default(),
            parsed: RefCell::default(),
            imports: RefCell::default(),
            now: Cell::new(0),
            spoiled: Cell::new(false),
        }
    }

    /// A thunk for the frame that is running: one of its earlier run where there is one.
    pub(crate) fn thunk(&self, nix: &Evaluator<'a>, origin: Delayed<'a>) -> Value<'a> {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let Some(frame) = inner.frames.last_mut() else {
            return nix.unrecorded_thunk(origin);
        };
        if let Some(old) = &mut frame.old
            && let Some(node) = old.claim_thunk(self, &inner.nodes, frame.serial, origin)
        {
            self.take(inner, node, origin);
            if let Some(thunk) = inner.nodes[node as usize].thunk {
                return Value::Thunk(thunk);
            }
        }
        let node = inner.nodes.len() as NodeId;
        let state = Cell::new(ThunkState::delayed(node, origin));
        let thunk: &'a Thunk<'a> = nix.arena.alloc(Thunk { state });
        inner.nodes.push(Node::new(Some(thunk), Some(origin)));
        inner.thunks.push(node);
        Value::Thunk(thunk)
    }

    /// A thunk that no frame owns.
    pub(super) fn free_thunk(&self, nix: &Evaluator<'a>, origin: Delayed<'a>) -> &'a Thunk<'a> {
        let mut inner = self.inner.borrow_mut();
        let node = inner.nodes.len() as NodeId;
        let state = Cell::new(ThunkState::delayed(node, origin));
        let thunk: &'a Thunk<'a> = nix.arena.alloc(Thunk { state });
        inner.nodes.push(Node::new(Some(thunk), Some(origin)));
        thunk
    }

    /// Take a thunk of the earlier run into this one, to compute `origin`.
    pub(super) fn take(&self, inner: &mut Inner<'a>, node: NodeId, origin: Delayed<'a>) {
        let serial = inner.frames.last().map_or(0, |frame| frame.serial);
        inner.thunks.push(node);
        let one = &mut inner.nodes[node as usize];
        one.claimed = serial;
        let same = one.origin.is_some_and(|known| self.same_origin(known, origin));
        if same {
            return;
        }
        one.origin = Some(origin);
        if one.mark == Mark::Busy {
            // A thunk cannot be remade by what it is waiting for; see the module's reasoning.
            self.spoiled.set(true);
            return;
        }
        if let Some(thunk) = one.thunk {
            thunk.state.set(ThunkState::delayed(node, origin));
        }
        one.mark = Mark::Stale;
        inner.suspect_readers(node);
    }

    pub(crate) fn new_env(&self, site: Site, env: &'a Env<'a>) {
        let mut inner = self.inner.borrow_mut();
        if !inner.frames.is_empty() {
            let site = self.site(site);
            inner.envs.push((site, env));
        }
    }

    /// Note that the running frame asked for a node.
    pub(super) fn note_read(&self, node: NodeId) {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let Some(frame) = inner.frames.last() else { return };
        let one = &mut inner.nodes[node as usize];
        if one.reader != frame.serial {
            one.reader = frame.serial;
            inner.reads.push(node);
        }
    }

    pub(super) fn push_frame(&self, node: NodeId) {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        inner.serial += 1;
        inner.stats.run += 1;
        let one = &mut inner.nodes[node as usize];
        one.mark = Mark::Busy;
        let (thunks, envs) = (std::mem::take(&mut one.thunks), std::mem::take(&mut one.envs));
        let old = if thunks.is_empty() && envs.is_empty() {
            None
        } else {
            Some(Box::new(Old::new(thunks, &envs)))
        };
        inner.frames.push(Frame {
            node,
            serial: inner.serial,
            reads: inner.reads.len(),
            thunks: inner.thunks.len(),
            envs: inner.envs.len(),
            old,
        });
    }

    /// Take the frame down and keep what it read and made. What a failed run did not get to make
    /// is kept from the run before, for the run after the mistake is mended.
    pub(super) fn pop_frame(&self, failed: bool) {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let Some(frame) = inner.frames.pop() else { return };
        if failed && let Some(old) = &frame.old {
            for node in old.thunks.iter() {
                if inner.nodes[*node as usize].claimed != frame.serial {
                    inner.thunks.push(*node);
                }
            }
            inner.envs.extend(old.envs.iter().flatten());
        }
        let reads: Box<[NodeId]> = inner.reads[frame.reads..].into();
        inner.reads.truncate(frame.reads);
        let thunks: Box<[NodeId]> = inner.thunks[frame.thunks..].into();
        inner.thunks.truncate(frame.thunks);
        let envs: Box<[_]> = inner.envs[frame.envs..].into();
        inner.envs.truncate(frame.envs);
        let known = std::mem::replace(&mut inner.nodes[frame.node as usize].reads, reads);
        inner.note_reader(frame.node, &known);
        let one = &mut inner.nodes[frame.node as usize];
        (one.thunks, one.envs) = (thunks, envs);
    }

    pub(super) fn enter_root(&self) {
        self.inner.borrow_mut().stats = WarmStats::default();
        self.push_frame(ROOT);
    }

    pub(super) fn leave_root(&self) {
        self.pop_frame(false);
        self.inner.borrow_mut().nodes[ROOT as usize].mark = Mark::Clean;
    }

    pub(super) fn stats(&self) -> WarmStats {
        let inner = self.inner.borrow();
        let leaves = self.leaves.borrow().len();
        WarmStats { thunks: inner.nodes.len() - leaves, leaves, ..inner.stats }
    }

    pub(super) fn is_spoiled(&self) -> bool {
        self.spoiled.get()
    }
}

impl Inner<'_> {
    pub(super) fn checked(&mut self) {
        self.stats.checked += 1;
    }

    /// Tell what `node` reads now that it does; `known` is what it read before.
    fn note_reader(&mut self, node: NodeId, known: &[NodeId]) {
        let reads = std::mem::take(&mut self.nodes[node as usize].reads);
        if *reads != *known {
            // Mostly the beginning is the same.
            let same = reads.iter().zip(known).take_while(|(new, old)| new == old).count();
            for read in &reads[same..] {
                if known.len() > 32 || !known[same..].contains(read) {
                    self.nodes[*read as usize].readers.push(node);
                }
            }
        }
        self.nodes[node as usize].reads = reads;
    }

    /// Mark everything that hangs on a node.
    pub(super) fn suspect_readers(&mut self, node: NodeId) {
        let mut work = vec![node];
        while let Some(node) = work.pop() {
            let readers = std::mem::take(&mut self.nodes[node as usize].readers);
            for reader in &readers {
                let one = &mut self.nodes[*reader as usize];
                if one.mark == Mark::Clean {
                    one.mark = Mark::Suspect;
                    work.push(*reader);
                }
            }
            self.nodes[node as usize].readers = readers;
        }
    }
}
