//! Text of an expression to its tree, refusing what libstdc++ refuses.

use crate::Error;
use crate::bracket::{self, Set};

/// Nested deeper than this nothing was written by hand; the compiler recurses.
const MAX_DEPTH: usize = 250;

#[derive(Clone, Debug)]
pub(crate) enum Node {
    Empty,
    Set(Box<Set>),
    LineStart,
    LineEnd,
    Group(usize, Box<Node>),
    Sequence(Vec<Node>),
    /// Tried in order.
    Alternatives(Vec<Node>),
    Repeat {
        node: Box<Node>,
        min: u32,
        max: Option<u32>,
    },
}

pub(crate) struct Parsed {
    pub(crate) node: Node,
    pub(crate) groups: usize,
}

struct Parser<'p> {
    text: &'p [u8],
    at: usize,
    groups: usize,
    depth: usize,
}

pub(crate) fn parse(text: &[u8]) -> Result<Parsed, Error> {
    let mut parser = Parser { text, at: 0, groups: 0, depth: 0 };
    let node = parser.alternatives()?;
    match parser.peek() {
        None => Ok(Parsed { node, groups: parser.groups }),
        Some(b'*' | b'+' | b'?' | b'{') => Err(Error::BadRepeat),
        Some(_) => Err(Error::Syntax),
    }
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn alternatives(&mut self) -> Result<Node, Error> {
        let mut all = vec![self.sequence()?];
        while self.peek() == Some(b'|') {
            self.at += 1;
            all.push(self.sequence()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Node::Alternatives(all) })
    }

    fn sequence(&mut self) -> Result<Node, Error> {
        let mut all = Vec::new();
        while let Some(node) = self.term()? {
            all.push(node);
        }
        Ok(match all.len() {
            0 => Node::Empty,
            1 => all.remove(0),
            _ => Node::Sequence(all),
        })
    }

    /// An anchor, or an atom with its repetitions (several are allowed: `a*?` is `(a*)?`).
    fn term(&mut self) -> Result<Option<Node>, Error> {
        let Some(c) = self.peek() else { return Ok(None) };
        let mut node = match c {
            b'^' | b'$' => {
                self.at += 1;
                return Ok(Some(if c == b'^' { Node::LineStart } else { Node::LineEnd }));
            }
            b'|' | b')' | b'*' | b'+' | b'?' | b'{' => return Ok(None),
            b'(' => self.group()?,
            b'[' => {
                let (set, end) = bracket::parse(self.text, self.at + 1)?;
                self.at = end;
                Node::Set(Box::new(set))
            }
            b'\\' => {
                let escaped = self.text.get(self.at + 1).copied().ok_or(Error::BadEscape)?;
                if !b".[\\()*+?{|^$".contains(&escaped) {
                    return Err(Error::BadEscape);
                }
                self.at += 2;
                Node::Set(Box::new(Set::byte(escaped)))
            }
            b'.' => {
                self.at += 1;
                Node::Set(Box::new(Set::any()))
            }
            _ => {
                self.at += 1;
                Node::Set(Box::new(Set::byte(c)))
            }
        };
        // Each stacked repetition is a level for the compiler.
        let mut stacked = 0;
        while let Some((min, max)) = self.repetition()? {
            stacked += 1;
            if self.depth + stacked > MAX_DEPTH {
                return Err(Error::TooLarge);
            }
            node = Node::Repeat { node: Box::new(node), min, max };
        }
        Ok(Some(node))
    }

    fn group(&mut self) -> Result<Node, Error> {
        self.at += 1;
        self.groups += 1;
        let number = self.groups;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::TooLarge);
        }
        let inner = self.alternatives()?;
        self.depth -= 1;
        if self.peek() != Some(b')') {
            return Err(Error::Syntax);
        }
        self.at += 1;
        Ok(Node::Group(number, Box::new(inner)))
    }

    fn repetition(&mut self) -> Result<Option<(u32, Option<u32>)>, Error> {
        let range = match self.peek() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => {
                self.at += 1;
                let min = self.number()?;
                let max = if self.peek() == Some(b',') {
                    self.at += 1;
                    if self.peek() == Some(b'}') { None } else { Some(self.number()?) }
                } else {
                    Some(min)
                };
                if self.peek() != Some(b'}') || max.is_some_and(|max| max < min) {
                    return Err(Error::BadInterval);
                }
                (min, max)
            }
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(range))
    }

    fn number(&mut self) -> Result<u32, Error> {
        let start = self.at;
        let mut value: u32 = 0;
        while let Some(c @ b'0'..=b'9') = self.peek() {
            value = value
                .checked_mul(10)
                .and_then(|v| v.checked_add(u32::from(c - b'0')))
                .ok_or(Error::TooLarge)?;
            self.at += 1;
        }
        if self.at == start { Err(Error::BadInterval) } else { Ok(value) }
    }
}
