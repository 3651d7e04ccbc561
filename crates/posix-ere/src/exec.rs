//! Backtracking where no (branch, place) is explored twice: the outcome of each is kept.

use crate::Captures;
use crate::compile::{Inst, Program};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Up to the end of the text.
    Exact,
    Longest,
    /// As [`Mode::Longest`], but not the empty match at this place.
    LongestNotEmpty(usize),
}

/// Where in the program and the text: `idle` is how many of the innermost loops around have matched nothing in their current
/// iteration. It makes loops over empty matches end, and is all that must be known of the way here.
#[derive(Clone, Copy)]
struct At {
    pc: usize,
    pos: usize,
    idle: u32,
}

/// A branch being explored.
struct Frame {
    index: usize,
    second: At,
    prefer: bool,
    /// The end that the first way gave, once it is known.
    first: Option<u32>,
}

/// No match from here. Ends are kept as `end + 2`, so that 0 is "not explored".
const FAIL: u32 = 1;
/// The second way of the branch gave the outcome.
const SECOND: u32 = 1 << 31;

pub(crate) struct Matcher<'r> {
    program: &'r Program,
    text: &'r [u8],
    mode: Mode,
    /// Outcomes by place (from `base` on), branch and idleness.
    outcomes: Vec<u32>,
    base: usize,
}

impl<'r> Matcher<'r> {
    pub(crate) fn new(program: &'r Program, text: &'r [u8], mode: Mode) -> Self {
        Self { program, text, mode, outcomes: Vec::new(), base: 0 }
    }

    /// The first match from `start` on.
    pub(crate) fn find(&mut self, start: usize) -> Option<Captures> {
        for pos in start..=self.text.len() {
            if let Some(first) = &self.program.first {
                match self.text.get(pos) {
                    Some(c) if first.contains(*c) => {}
                    Some(_) => continue,
                    None => return None,
                }
            }
            if let Some(captures) = self.at(pos) {
                return Some(captures);
            }
        }
        None
    }

    /// The match that starts at `pos`.
    pub(crate) fn at(&mut self, pos: usize) -> Option<Captures> {
        if self.outcomes.is_empty() {
            self.base = pos;
        }
        let end = self.explore(At { pc: 0, pos, idle: 0 });
        (end != FAIL).then(|| self.replay(pos))
    }

    fn index(&mut self, at: At, slot: u32) -> usize {
        let depth = self.program.nesting + 1;
        let width = self.program.branches * depth;
        let row = at.pos - self.base;
        let needed = (row + 1) * width;
        if self.outcomes.len() < needed {
            self.outcomes.resize(needed, 0);
        }
        row * width + slot as usize * depth + at.idle as usize
    }

    /// Takes instructions without a choice. The end when there is one, else the branch: its slot, its two ways, its preference.
    fn run(&self, mut at: At) -> Result<u32, (At, u32, At, At, bool)> {
        loop {
            match &self.program.code[at.pc] {
                Inst::Set(set) => match self.text.get(at.pos) {
                    Some(c) if set.contains(*c) => {
                        at = At { pc: at.pc + 1, pos: at.pos + 1, idle: 0 }
                    }
                    _ => return Ok(FAIL),
                },
                Inst::LineStart if at.pos != 0 => return Ok(FAIL),
                Inst::LineEnd if at.pos != self.text.len() => return Ok(FAIL),
                Inst::LineStart | Inst::LineEnd | Inst::Save(_) => at.pc += 1,
                Inst::Jump(target) => at.pc = *target as usize,
                Inst::Iterate => at = At { pc: at.pc + 1, idle: at.idle + 1, ..at },
                Inst::LoopBack { .. } if at.idle > 0 => {
                    at = At { pc: at.pc + 1, idle: at.idle - 1, ..at }
                }
                Inst::LoopBack { again, slot } => {
                    let again = At { pc: *again as usize, ..at };
                    return Err((at, *slot, again, At { pc: at.pc + 1, ..at }, true));
                }
                Inst::Branch { first, second, prefer, slot } => {
                    let (first, second) = (*first as usize, *second as usize);
                    return Err((
                        at,
                        *slot,
                        At { pc: first, ..at },
                        At { pc: second, ..at },
                        *prefer,
                    ));
                }
                Inst::Accept => {
                    let accepted = match self.mode {
                        Mode::Exact => at.pos == self.text.len(),
                        Mode::Longest => true,
                        Mode::LongestNotEmpty(start) => at.pos > start,
                    };
                    return Ok(if accepted { at.pos as u32 + 2 } else { FAIL });
                }
            }
        }
    }

    fn explore(&mut self, start: At) -> u32 {
        let mut stack: Vec<Frame> = Vec::new();
        let mut at = start;
        loop {
            let mut end = match self.run(at) {
                Ok(end) => end,
                Err((branch, slot, first, second, prefer)) => {
                    let index = self.index(branch, slot);
                    let known = self.outcomes[index] & !SECOND;
                    if known == 0 {
                        let prefer = prefer || self.mode == Mode::Exact;
                        stack.push(Frame { index, second, prefer, first: None });
                        at = first;
                        continue;
                    }
                    known
                }
            };
            loop {
                let Some(frame) = stack.last_mut() else { return end };
                match frame.first {
                    None if frame.prefer && end != FAIL => self.outcomes[frame.index] = end,
                    None => {
                        frame.first = Some(end);
                        at = frame.second;
                        break;
                    }
                    Some(first) => {
                        let second_wins = end > first;
                        end = end.max(first);
                        self.outcomes[frame.index] = if second_wins { end | SECOND } else { end };
                    }
                }
                stack.pop();
            }
        }
    }

    /// Walks the way that [`Self::explore`] found, and notes the groups.
    fn replay(&mut self, start: usize) -> Captures {
        let mut slots: Vec<Option<usize>> = vec![None; (self.program.groups + 1) * 2];
        slots[0] = Some(start);
        let program = self.program;
        let mut at = At { pc: 0, pos: start, idle: 0 };
        loop {
            match &program.code[at.pc] {
                Inst::Set(_) => at = At { pc: at.pc + 1, pos: at.pos + 1, idle: 0 },
                Inst::Save(slot) => {
                    slots[*slot as usize] = Some(at.pos);
                    at.pc += 1;
                }
                Inst::Accept => {
                    slots[1] = Some(at.pos);
                    break;
                }
                _ => {
                    let next = At { pc: at.pc, ..at };
                    at = self.choose(next);
                }
            }
        }
        slots.chunks_exact(2).map(|pair| Some(pair[0]?..pair[1]?)).collect()
    }

    /// One step that takes no byte.
    fn choose(&mut self, at: At) -> At {
        let program = self.program;
        let (slot, first, second) = match &program.code[at.pc] {
            Inst::Jump(target) => return At { pc: *target as usize, ..at },
            Inst::Iterate => return At { pc: at.pc + 1, idle: at.idle + 1, ..at },
            Inst::LoopBack { .. } if at.idle > 0 => {
                return At { pc: at.pc + 1, idle: at.idle - 1, ..at };
            }
            Inst::LoopBack { again, slot } => (*slot, *again as usize, at.pc + 1),
            Inst::Branch { first, second, slot, .. } => (*slot, *first as usize, *second as usize),
            _ => return At { pc: at.pc + 1, ..at },
        };
        let index = self.index(at, slot);
        let pc = if self.outcomes[index] & SECOND != 0 { second } else { first };
        At { pc, ..at }
    }
}
