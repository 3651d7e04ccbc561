//! The record of an evaluation: thunks, what they read, what they made.

use std::cell::{Cell, OnceCell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use nix_syntax::Sources;
use rustc_hash::FxHashMap;

use super::WarmStats;
use super::leaf::Leaves;
use super::matching::{Old, Site};
use super::parsed::Parsed;
use crate::Evaluator;
use crate::io::Io;
use crate::value::{Delayed, Env, NodeId, Thunk, Value};

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

/// How a thunk failed, as far as the code that asked for it can tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// `tryEval` makes a value of it.
    Caught,
    /// Nothing does.
    Final,
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
    /// When the value became another one.
    pub(super) changed: u32,
    /// When the value was last found to stand.
    pub(super) verified: u32,
    pub(super) mark: Mark,
    /// How the last run failed, if it did.
    pub(super) failed: Option<Failure>,
    /// Whether it waits to be looked at.
    queued: bool,
    /// Whether no run makes it any more.
    pub(super) dead: bool,
    /// More than that of everything it read.
    pub(super) height: u32,
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
            failed: None,
            queued: false,
            dead: false,
            height: 0,
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
    /// How high changes have been carried, while they are and nothing is demanded yet.
    pub(super) carried: Option<u32>,
    pending: BinaryHeap<Reverse<(u32, NodeId)>>,
    /// Whether heights cannot be told: the record is of no use any more.
    disordered: bool,
}

/// The record of an evaluation.
pub(crate) struct Graph<'a> {
    pub(super) io: Rc<dyn Io + 'a>,
    /// The texts of the evaluator.
    pub(super) sources: OnceCell<Rc<Sources>>,
    pub(super) inner: RefCell<Inner<'a>>,
    pub(super) leaves: RefCell<Leaves>,
    pub(super) parsed: RefCell<Parsed<'a>>,
    /// Thunks that belong to the whole evaluation: the values of imported files.
    pub(super) imports: RefCell<FxHashMap<Vec<u8>, &'a Thunk<'a>>>,
    /// Counts changes.
    pub(super) clock: Cell<u32>,
    /// The clock at the beginning of this run.
    pub(super) began: Cell<u32>,
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
            sources: OnceCell::new(),
            inner: RefCell::new(inner),
            leaves: RefCell::default(),
            parsed: RefCell::default(),
            imports: RefCell::default(),
            clock: Cell::new(0),
            began: Cell::new(0),
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
        let thunk: &'a Thunk<'a> = nix.arena.alloc(Thunk::new(node, origin));
        inner.nodes.push(Node::new(Some(thunk), Some(origin)));
        inner.thunks.push(node);
        Value::Thunk(thunk)
    }

    /// A thunk that no frame owns.
    /// What a recorded thunk computes.
    pub(crate) fn origin(&self, node: NodeId) -> Option<Delayed<'a>> {
        self.inner.borrow().nodes.get(node as usize)?.origin
    }

    pub(super) fn free_thunk(&self, nix: &Evaluator<'a>, origin: Delayed<'a>) -> &'a Thunk<'a> {
        let mut inner = self.inner.borrow_mut();
        let node = inner.nodes.len() as NodeId;
        let thunk: &'a Thunk<'a> = nix.arena.alloc(Thunk::new(node, origin));
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
            thunk.set_delayed(node, origin);
        }
        let had_value = one.value.is_some() || one.failed.is_some();
        one.mark = Mark::Stale;
        if inner.carried.is_some() {
            if had_value {
                inner.queue(node);
            }
        } else {
            inner.suspect_readers(node);
        }
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
        // Asking for what waits for this frame fails at once: no circle comes into the record.
        if one.reader != frame.serial && one.mark != Mark::Busy {
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
        one.dead = false;
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
        if let Some(old) = &frame.old {
            for node in old.thunks.iter() {
                if inner.nodes[*node as usize].claimed == frame.serial {
                    continue;
                }
                if failed {
                    inner.thunks.push(*node);
                } else {
                    inner.bury(*node);
                }
            }
            if failed {
                inner.envs.extend(old.envs.iter().flatten());
            }
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
        inner.raise(frame.node);
    }

    /// The next moment.
    pub(super) fn tick(&self) -> u32 {
        self.clock.set(self.clock.get() + 1);
        self.clock.get()
    }

    pub(super) fn enter_root(&self) {
        self.push_frame(ROOT);
    }

    pub(super) fn leave_root(&self) {
        self.pop_frame(false);
        self.inner.borrow_mut().nodes[ROOT as usize].mark = Mark::Clean;
    }

    pub(super) fn start_counting(&self) {
        self.inner.borrow_mut().stats = WarmStats::default();
    }

    pub(super) fn carry_to(&self, height: Option<u32>) {
        self.inner.borrow_mut().carried = height;
    }

    /// The next thunk that something it read has changed for, the lowest first.
    pub(super) fn next_pending(&self) -> Option<(NodeId, &'a Thunk<'a>)> {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        while let Some(Reverse((height, node))) = inner.pending.pop() {
            let one = &mut inner.nodes[node as usize];
            if one.height > height {
                inner.pending.push(Reverse((one.height, node)));
                continue;
            }
            one.queued = false;
            if let Some(thunk) = one.thunk
                && !one.dead
                && (one.mark != Mark::Clean)
            {
                inner.carried = Some(height);
                return Some((node, thunk));
            }
        }
        None
    }

    /// Give up on carrying changes upwards: leave what waits, and everything above it and above
    /// what is being run, to be checked when it is demanded.
    pub(super) fn stop_carrying(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.carried = None;
        while let Some(Reverse((_, node))) = inner.pending.pop() {
            inner.nodes[node as usize].queued = false;
            inner.suspect_readers(node);
        }
        for at in 0..inner.frames.len() {
            let node = inner.frames[at].node;
            inner.suspect_readers(node);
        }
    }

    pub(super) fn stats(&self) -> WarmStats {
        let inner = self.inner.borrow();
        let leaves = self.leaves.borrow().len();
        WarmStats { thunks: inner.nodes.len() - leaves, leaves, ..inner.stats }
    }

    pub(super) fn is_spoiled(&self) -> bool {
        self.spoiled.get() || self.inner.borrow().disordered
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

    fn queue(&mut self, node: NodeId) {
        let one = &mut self.nodes[node as usize];
        if !one.queued && !one.dead {
            one.queued = true;
            self.pending.push(Reverse((one.height, node)));
        }
    }

    /// While changes are carried upwards: the readers are next.
    pub(super) fn tell_readers(&mut self, node: NodeId) {
        if self.carried.is_some() {
            self.queue_readers(node);
        }
    }

    pub(super) fn queue_readers(&mut self, node: NodeId) {
        let readers = std::mem::take(&mut self.nodes[node as usize].readers);
        for reader in &readers {
            let one = &mut self.nodes[*reader as usize];
            if one.mark == Mark::Clean && one.thunk.is_some() {
                one.mark = Mark::Suspect;
                self.queue(*reader);
            }
        }
        self.nodes[node as usize].readers = readers;
    }

    /// Put a node above what it reads, and what reads it above the node.
    fn raise(&mut self, node: NodeId) {
        let mut work = vec![node];
        let mut most = self.nodes.len();
        while let Some(node) = work.pop() {
            most = most.saturating_sub(1);
            self.disordered |= most == 0;
            if self.disordered {
                return;
            }
            let reads = &self.nodes[node as usize].reads;
            let below = reads.iter().map(|read| self.nodes[*read as usize].height).max();
            let height = below.unwrap_or(0) + 1;
            let one = &mut self.nodes[node as usize];
            if height <= one.height {
                continue;
            }
            one.height = height;
            for reader in &self.nodes[node as usize].readers {
                let above = &self.nodes[*reader as usize];
                // Some only read it once upon a time.
                if above.height <= height && above.thunk.is_some() && above.reads.contains(&node) {
                    work.push(*reader);
                }
            }
        }
    }

    /// Forget what a thunk knows that no run makes any more, and what it made.
    fn bury(&mut self, node: NodeId) {
        let mut work = vec![node];
        while let Some(node) = work.pop() {
            let one = &mut self.nodes[node as usize];
            if one.dead || one.mark == Mark::Busy {
                continue;
            }
            one.dead = true;
            one.envs = Box::default();
            work.extend(std::mem::take(&mut one.thunks));
        }
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
