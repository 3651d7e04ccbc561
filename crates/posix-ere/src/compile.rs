//! Tree to instructions.

use crate::Error;
use crate::bracket::Set;
use crate::parse::{Node, Parsed};

/// libstdc++ has the same limit on states.
const MAX_SIZE: usize = 100_000;

#[derive(Clone, Debug)]
pub(crate) enum Inst {
    Set(Box<Set>),
    LineStart,
    LineEnd,
    /// Remember the place: slot `2n` is the start of group `n`, `2n + 1` its end.
    Save(u32),
    Jump(u32),
    /// Two ways. With `prefer` the second is tried only when the first does not match; otherwise the longer match wins.
    Branch {
        first: u32,
        second: u32,
        prefer: bool,
        slot: u32,
    },
    /// An iteration of a loop whose body can match nothing begins.
    Iterate,
    /// Its end: go round (`again`) or on. When the iteration matched nothing, only on.
    LoopBack {
        again: u32,
        slot: u32,
    },
    Accept,
}

#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) code: Vec<Inst>,
    pub(crate) groups: usize,
    /// How many instructions are branches.
    pub(crate) branches: usize,
    /// How deep loops with possibly empty bodies are nested.
    pub(crate) nesting: usize,
    /// Bytes a match can start with; none when it can be empty.
    pub(crate) first: Option<Set>,
}

struct Compiler {
    code: Vec<Inst>,
    branches: u32,
    nesting: usize,
    deepest: usize,
}

pub(crate) fn compile(parsed: &Parsed) -> Result<Program, Error> {
    let mut compiler = Compiler { code: Vec::new(), branches: 0, nesting: 0, deepest: 0 };
    compiler.node(&parsed.node)?;
    compiler.push(Inst::Accept)?;
    let first = first_bytes(&compiler.code);
    Ok(Program {
        code: compiler.code,
        groups: parsed.groups,
        branches: compiler.branches as usize,
        nesting: compiler.deepest,
        first,
    })
}

fn nullable(node: &Node) -> bool {
    match node {
        Node::Empty | Node::LineStart | Node::LineEnd => true,
        Node::Set(_) => false,
        Node::Group(_, node) => nullable(node),
        Node::Sequence(all) => all.iter().all(nullable),
        Node::Alternatives(all) => all.iter().any(nullable),
        Node::Repeat { node, min, .. } => *min == 0 || nullable(node),
    }
}

impl Compiler {
    fn here(&self) -> u32 {
        self.code.len() as u32
    }

    fn push(&mut self, inst: Inst) -> Result<usize, Error> {
        if self.code.len() >= MAX_SIZE {
            return Err(Error::TooLarge);
        }
        self.code.push(inst);
        Ok(self.code.len() - 1)
    }

    fn slot(&mut self) -> u32 {
        self.branches += 1;
        self.branches - 1
    }

    /// A branch to the next instruction first; the second way is set by [`Self::patch`].
    fn branch(&mut self, prefer: bool) -> Result<usize, Error> {
        let slot = self.slot();
        let first = self.here() + 1;
        self.push(Inst::Branch { first, second: 0, prefer, slot })
    }

    fn patch(&mut self, at: usize) {
        let here = self.here();
        match &mut self.code[at] {
            Inst::Branch { second, .. } => *second = here,
            Inst::Jump(target) => *target = here,
            _ => {}
        }
    }

    fn node(&mut self, node: &Node) -> Result<(), Error> {
        match node {
            Node::Empty => {}
            Node::Set(set) => {
                self.push(Inst::Set(set.clone()))?;
            }
            Node::LineStart => {
                self.push(Inst::LineStart)?;
            }
            Node::LineEnd => {
                self.push(Inst::LineEnd)?;
            }
            Node::Group(number, node) => {
                self.push(Inst::Save(*number as u32 * 2))?;
                self.node(node)?;
                self.push(Inst::Save(*number as u32 * 2 + 1))?;
            }
            Node::Sequence(all) => {
                for node in all {
                    self.node(node)?;
                }
            }
            Node::Alternatives(all) => {
                let mut ends = Vec::new();
                for (i, node) in all.iter().enumerate() {
                    if i + 1 == all.len() {
                        self.node(node)?;
                        break;
                    }
                    let branch = self.branch(false)?;
                    self.node(node)?;
                    ends.push(self.push(Inst::Jump(0))?);
                    self.patch(branch);
                }
                for end in ends {
                    self.patch(end);
                }
            }
            Node::Repeat { node, min, max } => self.repeat(node, *min, *max)?,
        }
        Ok(())
    }

    fn repeat(&mut self, node: &Node, min: u32, max: Option<u32>) -> Result<(), Error> {
        let Some(max) = max else {
            self.times(node, min.saturating_sub(1))?;
            return self.unbounded(node, min > 0);
        };
        self.times(node, min)?;
        let mut ends = Vec::new();
        for _ in min..max {
            ends.push(self.branch(true)?);
            self.node(node)?;
        }
        for end in ends {
            self.patch(end);
        }
        Ok(())
    }

    fn times(&mut self, node: &Node, count: u32) -> Result<(), Error> {
        for _ in 0..count {
            let before = self.here();
            self.node(node)?;
            // `a{0}` makes no instructions: writing none a billion times would still take its time.
            if self.here() == before {
                break;
            }
        }
        Ok(())
    }

    /// `x*`, or `x+` with `once`.
    fn unbounded(&mut self, node: &Node, once: bool) -> Result<(), Error> {
        let entry = if once { None } else { Some(self.branch(true)?) };
        let body = self.here();
        if nullable(node) {
            self.nesting += 1;
            self.deepest = self.deepest.max(self.nesting);
            self.push(Inst::Iterate)?;
            self.node(node)?;
            self.nesting -= 1;
            let slot = self.slot();
            self.push(Inst::LoopBack { again: body, slot })?;
        } else if once {
            self.node(node)?;
            let slot = self.slot();
            let second = self.here() + 1;
            self.push(Inst::Branch { first: body, second, prefer: true, slot })?;
        } else {
            self.node(node)?;
            self.push(Inst::Jump(body - 1))?;
        }
        if let Some(entry) = entry {
            self.patch(entry);
        }
        Ok(())
    }
}

/// All bytes that can come first, by walking everything that takes no byte.
fn first_bytes(code: &[Inst]) -> Option<Set> {
    let mut set = Set::empty();
    let mut seen = vec![false; code.len()];
    let mut todo = vec![0usize];
    while let Some(at) = todo.pop() {
        if std::mem::replace(&mut seen[at], true) {
            continue;
        }
        match &code[at] {
            Inst::Set(bytes) => set.union(bytes),
            Inst::Jump(target) => todo.push(*target as usize),
            Inst::Branch { first, second, .. } => todo.extend([*first as usize, *second as usize]),
            Inst::LoopBack { again, .. } => todo.extend([*again as usize, at + 1]),
            Inst::LineStart | Inst::LineEnd | Inst::Save(_) | Inst::Iterate => todo.push(at + 1),
            Inst::Accept => return None,
        }
    }
    Some(set)
}
