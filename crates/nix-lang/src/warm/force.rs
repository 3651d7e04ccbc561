//! Forcing a recorded thunk: its value stands, or is checked, or is made.

use super::graph::{Failure, Graph, Mark};
use crate::Evaluator;
use crate::error::Result;
use crate::eval::infinite_recursion;
use crate::slot::Slot;
use crate::source::{NO_POS, Pos};
use crate::value::{Delayed, NodeId, Thunk, ThunkState, Value};

impl<'a> Evaluator<'a> {
    /// The value of a recorded thunk; the running frame depends on it from here on.
    pub(crate) fn force_recorded(
        &self,
        thunk: &'a Thunk<'a>,
        node: NodeId,
        pos: Pos,
    ) -> Result<Value<'a>> {
        if let Some(graph) = &self.graph {
            graph.note_read(node);
        }
        self.settle(thunk, node, pos)
    }

    /// What comes of a thunk that is needed while it is run: an application is called once more, as
    /// in cold evaluation. Nothing good can come of it, so it needs no record of its own.
    fn run_within(&self, node: NodeId, pos: Pos) -> Result<Value<'a>> {
        match self.graph.as_ref().and_then(|graph| graph.origin(node)) {
            Some(origin) if origin.is_application() => self.compute(origin, pos).map(Slot::get),
            _ => Err(infinite_recursion(pos)),
        }
    }

    /// Whether a recorded thunk is the application of a function by a builtin.
    pub(crate) fn is_application(&self, node: NodeId) -> bool {
        let origin = self.graph.as_ref().and_then(|graph| graph.origin(node));
        origin.is_some_and(Delayed::is_application)
    }

    /// The value of a recorded thunk as it is in this run.
    fn settle(&self, thunk: &'a Thunk<'a>, node: NodeId, pos: Pos) -> Result<Value<'a>> {
        let Some(graph) = &self.graph else { return Err(infinite_recursion(pos)) };
        let mut mark = graph.inner.borrow().nodes[node as usize].mark;
        if mark == Mark::Clean && graph.is_ahead(node) {
            graph.stop_carrying();
            mark = graph.inner.borrow().nodes[node as usize].mark;
        }
        if let ThunkState::Done(_, value) = thunk.get() {
            match mark {
                Mark::Clean => return Ok(value),
                Mark::Busy => return self.run_within(node, pos),
                Mark::Suspect if !self.reads_changed(node, pos)? => {
                    let mut inner = graph.inner.borrow_mut();
                    inner.checked();
                    let one = &mut inner.nodes[node as usize];
                    one.mark = Mark::Clean;
                    one.verified = graph.clock.get();
                    return Ok(value);
                }
                Mark::Suspect | Mark::Stale => {}
            }
        } else if mark == Mark::Busy {
            return self.run_within(node, pos);
        }
        self.run(thunk, node, pos)
    }

    /// Whether anything that the last run of a node read is another now, looking in the order in
    /// which it was read: what comes later may not be asked for any more.
    fn reads_changed(&self, node: NodeId, pos: Pos) -> Result<bool> {
        self.check_stack(pos)?;
        let Some(graph) = &self.graph else { return Ok(true) };
        let count = {
            let mut inner = graph.inner.borrow_mut();
            let one = &mut inner.nodes[node as usize];
            one.mark = Mark::Busy;
            one.reads.len()
        };
        let mut changed = false;
        for index in 0..count {
            let (read, thunk, clean) = {
                let inner = graph.inner.borrow();
                let read = inner.nodes[node as usize].reads[index];
                let one = &inner.nodes[read as usize];
                let done =
                    one.thunk.is_none_or(|thunk| matches!(thunk.get(), ThunkState::Done(..)));
                (read, one.thunk, done && one.mark == Mark::Clean)
            };
            // A failure is met again, in its own place, when the node runs.
            let failed = match thunk {
                Some(thunk) if !clean => self.settle(thunk, read, pos).is_err(),
                _ => false,
            };
            let inner = graph.inner.borrow();
            if failed || inner.nodes[read as usize].changed > inner.nodes[node as usize].verified {
                changed = true;
                break;
            }
        }
        graph.inner.borrow_mut().nodes[node as usize].mark = Mark::Suspect;
        Ok(changed)
    }

    /// Run what read something that changed, and on upwards as long as values change. Where an edit
    /// makes no difference far up, this touches a handful of thunks; checking from above would look
    /// at everything between.
    ///
    /// What is run here may turn out not to be demanded any more. That is no harm: its value is right
    /// all the same, and a failure counts only when something demands it.
    pub(super) fn carry_up(&self) {
        let Some(graph) = &self.graph else { return };
        let mut most = graph.stats().thunks / 2 + 1000;
        while let Some((node, thunk)) = graph.next_pending() {
            most -= 1;
            if most == 0 {
                graph.stop_carrying();
                graph.inner.borrow_mut().suspect_readers(node);
                break;
            }
            // A failure is met again where it is demanded.
            let _ = self.settle(thunk, node, NO_POS);
            self.depth.set(0);
        }
        graph.carry_to(None);
    }

    fn run(&self, thunk: &'a Thunk<'a>, node: NodeId, pos: Pos) -> Result<Value<'a>> {
        let Some(graph) = &self.graph else { return Err(infinite_recursion(pos)) };
        let Some(origin) = graph.inner.borrow().nodes[node as usize].origin else {
            return Err(infinite_recursion(pos));
        };
        thunk.set_running(node);
        graph.push_frame(node);
        let result = self.compute(origin, pos).map(Slot::get);
        graph.pop_frame(result.is_err());
        let mut inner = graph.inner.borrow_mut();
        let one = &mut inner.nodes[node as usize];
        one.mark = Mark::Clean;
        let failed = result
            .as_ref()
            .err()
            .map(|error| if error.is_catchable() { Failure::Caught } else { Failure::Final });
        let had_failed = std::mem::replace(&mut one.failed, failed);
        let is_new = match (&result, one.value) {
            (Ok(value), Some(known)) => had_failed.is_some() || !graph.same(known, *value),
            (Ok(_), None) => true,
            (Err(_), _) => had_failed != failed,
        };
        if is_new {
            one.changed = graph.tick();
        }
        one.verified = graph.clock.get();
        let result = match result {
            Ok(value) => {
                // The old value stands where the new one is the same, so that scopes that hold it do.
                let value = match one.value {
                    Some(known) if graph.same(known, value) => known,
                    _ => value,
                };
                one.value = Some(value);
                thunk.set_done(node, self.slot(value));
                Ok(value)
            }
            Err(error) => {
                if let Some(origin) = one.origin {
                    thunk.set_delayed(node, origin);
                }
                Err(error)
            }
        };
        if is_new {
            inner.tell_readers(node);
        }
        result
    }
}

impl Graph<'_> {
    /// Whether a node lies higher than changes have been carried, so that it may hang on one that is
    /// still to come, or on what is being run.
    fn is_ahead(&self, node: NodeId) -> bool {
        let inner = self.inner.borrow();
        let one = &inner.nodes[node as usize];
        inner.carried.is_some_and(|carried| one.height > carried) && one.verified < self.began.get()
    }
}
