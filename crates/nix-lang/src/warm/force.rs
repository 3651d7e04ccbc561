//! Forcing a recorded thunk: its value stands, or is checked, or is made.

use super::graph::Mark;
use crate::Evaluator;
use crate::error::Result;
use crate::eval::infinite_recursion;
use crate::source::Pos;
use crate::value::{NodeId, Thunk, ThunkState, Value};

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

    /// The value of a recorded thunk as it is in this run.
    fn settle(&self, thunk: &'a Thunk<'a>, node: NodeId, pos: Pos) -> Result<Value<'a>> {
        let Some(graph) = &self.graph else { return Err(infinite_recursion(pos)) };
        let mark = graph.inner.borrow().nodes[node as usize].mark;
        if let ThunkState::Done(_, value) = thunk.state.get() {
            match mark {
                Mark::Clean => return Ok(value),
                Mark::Busy => return Err(infinite_recursion(pos)),
                Mark::Suspect if !self.reads_changed(node, pos)? => {
                    let mut inner = graph.inner.borrow_mut();
                    inner.checked();
                    let one = &mut inner.nodes[node as usize];
                    one.mark = Mark::Clean;
                    one.verified = graph.now.get();
                    return Ok(value);
                }
                Mark::Suspect | Mark::Stale => {}
            }
        } else if mark == Mark::Busy {
            return Err(infinite_recursion(pos));
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
                let done = one
                    .thunk
                    .is_none_or(|thunk| matches!(thunk.state.get(), ThunkState::Done(..)));
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

    fn run(&self, thunk: &'a Thunk<'a>, node: NodeId, pos: Pos) -> Result<Value<'a>> {
        let Some(graph) = &self.graph else { return Err(infinite_recursion(pos)) };
        let Some(origin) = graph.inner.borrow().nodes[node as usize].origin else {
            return Err(infinite_recursion(pos));
        };
        thunk.state.set(ThunkState::Blackhole(node));
        graph.push_frame(node);
        let result = self.compute(origin, pos);
        graph.pop_frame(result.is_err());
        let now = graph.now.get();
        let mut inner = graph.inner.borrow_mut();
        let one = &mut inner.nodes[node as usize];
        one.mark = Mark::Clean;
        one.verified = now;
        match result {
            Ok(value) => {
                let value = match one.value {
                    Some(known) if graph.same(known, value) => {
                        if one.failed {
                            one.changed = now;
                        }
                        known
                    }
                    _ => {
                        one.changed = now;
                        value
                    }
                };
                one.value = Some(value);
                one.failed = false;
                thunk.state.set(ThunkState::Done(node, value));
                Ok(value)
            }
            Err(error) => {
                one.failed = true;
                if let Some(origin) = one.origin {
                    thunk.state.set(ThunkState::delayed(node, origin));
                }
                Err(error)
            }
        }
    }
}
