//! Who has time makes what was told.

use super::{Context, Op};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::num::NonZero;
use std::ops::{Deref, Range};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, Scope};

/// The size of a block.
pub(crate) const BLOCK: usize = 256 << 10;
/// So many blocks are full at most; with the one that is being filled, this bounds the memory.
const FULL: usize = 5;
/// Fewer are not worth a thread.
const WORTH_IT: usize = 3;
/// More threads than this make no tree faster.
const HELPERS: usize = 3;

/// Bytes, and what is to be made of them.
#[derive(Debug)]
pub(crate) struct Block {
    /// [`BLOCK`] of them.
    pub bytes: Vec<u8>,
    /// So many count.
    pub used: usize,
    pub ops: Vec<Op>,
}

impl Default for Block {
    fn default() -> Self {
        Self { bytes: vec![0; BLOCK], used: 0, ops: Vec::new() }
    }
}

/// The bytes of a block that was handed over. Its memory is filled again when nobody holds it any more.
#[derive(Debug)]
pub(crate) struct Filled {
    bytes: Vec<u8>,
    queue: Arc<Queue>,
}

impl Deref for Filled {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        state.full -= 1;
        state.spare.push(std::mem::take(&mut self.bytes));
        self.queue.tell(state);
    }
}

/// What is to be done.
#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    to_make: VecDeque<(Vec<Op>, Arc<Filled>)>,
    to_pass: VecDeque<(Arc<Filled>, usize)>,
    /// Somebody passes a block on.
    passing: bool,
    /// Blocks that are full.
    full: usize,
    /// Others, to be filled again.
    spare: Vec<Vec<u8>>,
    /// How many wait for a change.
    waiting: usize,
    /// There will be no more.
    over: bool,
}

enum Task {
    Make(Vec<Op>, Arc<Filled>),
    Pass(Arc<Filled>, usize),
}

impl State {
    /// The `newest` block is what whoever filled it has in its processor's cache.
    fn task(&mut self, newest: bool) -> Option<Task> {
        if !self.passing
            && let Some((block, used)) = self.to_pass.pop_front()
        {
            self.passing = true;
            return Some(Task::Pass(block, used));
        }
        let made = if newest { self.to_make.pop_back() } else { self.to_make.pop_front() };
        made.map(|(ops, block)| Task::Make(ops, block))
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        state.waiting += 1;
        let mut state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state
    }

    fn tell(&self, state: MutexGuard<'_, State>) {
        let anybody = state.waiting > 0;
        drop(state);
        if anybody {
            self.changed.notify_all();
        }
    }
}

struct Shared<'c, 'd> {
    context: &'c Context,
    /// Gets all bytes in their order.
    passing: Option<Mutex<&'d mut (dyn Write + Send)>>,
    queue: Arc<Queue>,
}

impl Shared<'_, '_> {
    /// Even after a failure each task has its end: nobody must wait for ever.
    fn perform(&self, task: Task) {
        let failed = &self.context.failed;
        match task {
            Task::Make(ops, block) => {
                for op in ops {
                    if failed.get().is_none() {
                        self.context.note(op.run(self.context, &block));
                    }
                }
            }
            Task::Pass(block, used) => {
                if let (Some(to), None) = (&self.passing, failed.get()) {
                    let mut to = to.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Err(error) = to.write_all(&block[..used]) {
                        let _ = failed.set(error);
                    }
                }
                let mut state = self.queue.state();
                state.passing = false;
                self.queue.tell(state);
            }
        }
    }

    fn help(&self) {
        let mut state = self.queue.state();
        loop {
            if let Some(task) = state.task(false) {
                drop(state);
                self.perform(task);
                state = self.queue.state();
            } else if state.over {
                return;
            } else {
                state = self.queue.wait(state);
            }
        }
    }

    /// Works until fewer than so many blocks are full.
    fn until_below(&self, full: usize) {
        let mut state = self.queue.state();
        while state.full >= full {
            if let Some(task) = state.task(true) {
                drop(state);
                self.perform(task);
                state = self.queue.state();
            } else {
                state = self.queue.wait(state);
            }
        }
    }
}

/// Hands a block over, and makes it empty but for the bytes in the range, which it keeps; works, too,
/// while many others wait. Says what went wrong with one that was handed over before.
pub(crate) type HandOver<'h> = dyn FnMut(&mut Block, Range<usize>) -> io::Result<()> + 'h;

struct Producer<'scope, 'env, 'c, 'd> {
    scope: &'scope Scope<'scope, 'env>,
    shared: &'env Shared<'c, 'd>,
    /// So many were handed over.
    blocks: usize,
}

impl Producer<'_, '_, '_, '_> {
    fn hand_over(&mut self, block: &mut Block, kept: Range<usize>) -> io::Result<()> {
        self.shared.context.check()?;
        let ops = std::mem::take(&mut block.ops);
        let used = std::mem::take(&mut block.used);
        let queue = &self.shared.queue;
        let mut state = queue.state();
        let mut next = state.spare.pop().unwrap_or_else(|| vec![0; BLOCK]);
        next[..kept.len()].copy_from_slice(&block.bytes[kept]);
        let bytes = std::mem::replace(&mut block.bytes, next);
        let full = Arc::new(Filled { bytes, queue: Arc::clone(queue) });
        state.full += 1;
        if self.shared.passing.is_some() {
            state.to_pass.push_back((Arc::clone(&full), used));
        }
        state.to_make.push_back((ops, full));
        queue.tell(state);
        self.blocks += 1;
        if self.blocks == WORTH_IT {
            let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
            for _ in 1..cores.min(HELPERS + 1) {
                let shared = self.shared;
                // Where there can be no thread, this one does it all.
                let _ = Builder::new().spawn_scoped(self.scope, || shared.help());
            }
        }
        self.shared.until_below(FULL);
        Ok(())
    }
}

/// However it ends: the helpers do.
struct Over<'s, 'c, 'd>(&'s Shared<'c, 'd>);

impl Drop for Over<'_, '_, '_> {
    fn drop(&mut self) {
        let mut state = self.0.queue.state();
        state.over = true;
        self.0.queue.tell(state);
    }
}

/// Calls `tell`, and waits until all that it tells is made; all bytes go to `pass`, in their order.
///
/// # Errors
/// What `tell` says, or else what went wrong when it was made.
pub(crate) fn produce<T, E: From<io::Error>>(
    context: &Context,
    pass: Option<&mut (dyn Write + Send)>,
    tell: impl FnOnce(&mut HandOver<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let shared = Shared { context, passing: pass.map(Mutex::new), queue: Arc::default() };
    let told = std::thread::scope(|scope| {
        let over = Over(&shared);
        let mut producer = Producer { scope, shared: &shared, blocks: 0 };
        let told = tell(&mut |block, kept| producer.hand_over(block, kept));
        if told.is_err() {
            // Nothing else needs to be made.
            let _ = context.failed.set(io::Error::other("it is not whole"));
        }
        drop(over);
        shared.until_below(1);
        told
    })?;
    context.check()?;
    Ok(told)
}
