//! Bindings of sets and `let`, attribute paths, formals: with the merging and the duplicates of C++ Nix.

use super::*;
use crate::name::written_name;
use crate::raw::{RawAttr, RawFormal, RawSet, Run, SetId, Value};

/// What may stand where an attribute name is wanted.
const ATTR_NAME: &str = "identifier or 'or' or '${' or '\"'";

impl<'s, 'a: 's> Parser<'s, 'a, '_> {
    fn new_set(&mut self, recursive: bool) -> SetId {
        self.raw.sets.push(RawSet::new(recursive));
        self.raw.sets.len() as u32 - 1
    }

    fn as_set(&self, node: NodeId) -> Option<SetId> {
        match self.raw.nodes[node as usize].kind {
            Kind::Set(set) => Some(set),
            _ => None,
        }
    }

    /// Bindings up to whatever is none.
    pub(super) fn bindings(&mut self, recursive: bool) -> Parsed<SetId> {
        let set = self.new_set(recursive);
        loop {
            let start = self.tok.start;
            match self.tok.kind {
                Tok::Inherit => self.inherit(set)?,
                Tok::Id | Tok::OrKeyword | Tok::Quote | Tok::DollarBrace => {
                    let from = self.path.len();
                    self.attr_names()?;
                    let place = (start, self.last_end);
                    if self.tok.kind != Tok::Assign {
                        return self.unexpected("`=` or `.`", "'.' or '='");
                    }
                    self.advance();
                    let value = self.expr()?;
                    self.expect(Tok::Semicolon, "`;` after the value", "';'")?;
                    self.add(set, from, value, place);
                    self.path.truncate(from);
                }
                _ => return Ok(set),
            }
        }
    }

    fn inherit(&mut self, set: SetId) -> Parsed<()> {
        self.advance();
        let source = if self.tok.kind == Tok::ParenOpen {
            let open = self.tok.start;
            self.advance();
            let source = self.expr()?;
            self.close(Tok::ParenClose, "`)`", "')'", open)?;
            let sources = &mut self.raw.sets[set as usize].sources;
            sources.push(source);
            Some(sources.len() as u32 - 1)
        } else {
            None
        };
        loop {
            let start = self.tok.start;
            let Some(name) = self.attr_name()? else { break };
            let end = self.last_end;
            let PathName::Static(name) = name else {
                return self.fail(start, end, "dynamic attributes not allowed in inherit");
            };
            if let Some(earlier) = self.raw.sets[set as usize].find(name) {
                self.duplicate(&[PathName::Static(name)], (start, end), earlier);
                continue;
            }
            let value = source.map_or(Value::Inherited, Value::From);
            self.raw.sets[set as usize].push(RawAttr { name, value, start, end });
        }
        self.expect(Tok::Semicolon, "a name or `;`", "")
    }

    /// Puts `self.path[from..] = value` into a set, merging sets written in parts.
    fn add(&mut self, set: SetId, from: usize, value: NodeId, (start, end): (u32, u32)) {
        let mut set = set;
        let last = self.path.len() - 1;
        for at in from..last {
            set = match self.path[at] {
                PathName::Static(name) => match self.raw.sets[set as usize].find(name) {
                    Some(earlier) => {
                        let nested = match earlier.value {
                            Value::Plain(node) => self.as_set(node),
                            _ => None,
                        };
                        let Some(nested) = nested else {
                            let path = self.path[from..=at].to_vec();
                            return self.duplicate(&path, (start, end), earlier);
                        };
                        nested
                    }
                    None => {
                        let nested = self.new_set(false);
                        let node = self.node_to(Kind::Set(nested), start, end);
                        self.raw.sets[set as usize].push(RawAttr {
                            name,
                            value: Value::Plain(node),
                            start,
                            end,
                        });
                        nested
                    }
                },
                PathName::Dynamic(name) => {
                    let nested = self.new_set(false);
                    let node = self.node_to(Kind::Set(nested), start, end);
                    self.raw.sets[set as usize].dynamic.push((name, node, start, end));
                    nested
                }
            };
        }
        let name = match self.path[last] {
            PathName::Static(name) => name,
            PathName::Dynamic(name) => {
                self.raw.sets[set as usize].dynamic.push((name, value, start, end));
                return;
            }
        };
        let Some(earlier) = self.raw.sets[set as usize].find(name) else {
            self.raw.sets[set as usize].push(RawAttr {
                name,
                value: Value::Plain(value),
                start,
                end,
            });
            return;
        };
        let old = match earlier.value {
            Value::Plain(node) => self.as_set(node),
            _ => None,
        };
        match (old, self.as_set(value)) {
            (Some(old), Some(new)) => {
                let path = self.path[from..].to_vec();
                self.merge(old, new, path);
            }
            _ => {
                let path = self.path[from..].to_vec();
                self.duplicate(&path, (start, end), earlier);
            }
        }
    }

    /// Moves the attributes of `new` into `old`, which alone decides whether the result is recursive.
    /// Sets within are merged in turn: nesting is what the parser has counted already.
    fn merge(&mut self, old: SetId, new: SetId, path: Vec<PathName>) {
        let new = std::mem::take(&mut self.raw.sets[new as usize]);
        let shift = self.raw.sets[old as usize].sources.len() as u32;
        for mut attr in new.attrs {
            if let Some(earlier) = self.raw.sets[old as usize].find(attr.name) {
                let mut path = path.clone();
                path.push(PathName::Static(attr.name));
                let set_of = |value| match value {
                    Value::Plain(node) => self.as_set(node),
                    _ => None,
                };
                match (set_of(earlier.value), set_of(attr.value)) {
                    (Some(old), Some(new)) => self.merge(old, new, path),
                    _ => self.duplicate(&path, (attr.start, attr.end), earlier),
                }
                continue;
            }
            if let Value::From(source) = &mut attr.value {
                *source += shift;
            }
            self.raw.sets[old as usize].push(attr);
        }
        let old = &mut self.raw.sets[old as usize];
        old.sources.extend(new.sources);
        old.dynamic.extend(new.dynamic);
    }

    fn duplicate(&mut self, path: &[PathName], place: (u32, u32), earlier: RawAttr) {
        let mut shown = String::new();
        for name in path {
            if !shown.is_empty() {
                shown.push('.');
            }
            match name {
                PathName::Static(name) => {
                    shown += &written_name(self.raw.names[*name as usize]);
                }
                PathName::Dynamic(_) => shown += "${…}",
            }
        }
        let report = Report::new(
            format!("attribute '{shown}' already defined"),
            self.span(place.0, place.1),
        )
        .label("defined again here")
        .note(self.span(earlier.start, earlier.end), "first defined here");
        self.errors.push(report);
    }

    pub(super) fn duplicate_formal(&mut self, name: Name, place: (u32, u32), earlier: (u32, u32)) {
        let shown = String::from_utf8_lossy(self.raw.names[name as usize]);
        let report = Report::new(
            format!("duplicate formal function argument '{shown}'"),
            self.span(place.0, place.1),
        )
        .note(self.span(earlier.0, earlier.1), "first named here");
        self.errors.push(report);
    }

    /// One or more names with dots between, in the pool.
    pub(super) fn attr_path(&mut self) -> Parsed<Run> {
        let from = self.path.len();
        self.attr_names()?;
        Ok(raw::pool_run(&mut self.raw.paths, &mut self.path, from))
    }

    /// One or more names with dots between, left on `self.path`.
    fn attr_names(&mut self) -> Parsed<()> {
        loop {
            let Some(name) = self.attr_name()? else {
                return self.unexpected("an attribute name", ATTR_NAME);
            };
            self.path.push(name);
            if self.tok.kind != Tok::Dot {
                return Ok(());
            }
            self.advance();
        }
    }

    fn attr_name(&mut self) -> Parsed<Option<PathName>> {
        let tok = self.tok;
        let node = match tok.kind {
            Tok::Id | Tok::OrKeyword => {
                self.advance();
                let text = self.text(tok);
                return Ok(Some(PathName::Static(self.raw.name(text))));
            }
            Tok::Quote => self.string()?,
            Tok::DollarBrace => {
                self.advance();
                let node = self.expr()?;
                self.close(Tok::BraceClose, "`}`", "'}'", tok.start)?;
                node
            }
            _ => return Ok(None),
        };
        Ok(Some(match self.raw.nodes[node as usize].kind {
            Kind::Str(text) => PathName::Static(self.raw.name(text)),
            _ => PathName::Dynamic(node),
        }))
    }

    /// Whether the `{` being looked at opens formals and not a set.
    pub(super) fn formals_ahead(&self) -> bool {
        let mut ahead = self.lexer;
        match ahead.token().kind {
            Tok::Ellipsis => true,
            Tok::BraceClose => matches!(ahead.next_byte(), b':' | b'@'),
            Tok::Id => matches!(ahead.next_byte(), b',' | b'?' | b'}'),
            _ => false,
        }
    }

    /// `{ a, b ? 1, ... }`
    pub(super) fn formals(&mut self) -> Parsed<(Run, bool)> {
        let open = self.tok.start;
        self.expect(Tok::BraceOpen, "`{`", "'{'")?;
        // Defaults may hold formals of their own, so these wait outside the pool.
        let mut formals: Vec<RawFormal> = Vec::new();
        let mut seen = std::collections::HashMap::new();
        let mut ellipsis = false;
        loop {
            let tok = self.tok;
            match tok.kind {
                Tok::Ellipsis => {
                    self.advance();
                    ellipsis = true;
                    break;
                }
                Tok::Id => {
                    self.advance();
                    let text = self.text(tok);
                    let name = self.raw.name(text);
                    let default = if self.tok.kind == Tok::Question {
                        self.advance();
                        Some(self.expr()?)
                    } else {
                        None
                    };
                    let formal = RawFormal { name, default, start: tok.start, end: tok.end };
                    match seen.insert(name, (tok.start, tok.end)) {
                        Some(earlier) => self.duplicate_formal(name, (tok.start, tok.end), earlier),
                        None => formals.push(formal),
                    }
                }
                // C++ Nix takes `{ }`, `{ a, }` only in its newer versions; neither is ambiguous.
                Tok::BraceClose => break,
                _ => return self.unexpected("a name, `...` or `}`", "identifier or '...' or '}'"),
            }
            if self.tok.kind != Tok::Comma {
                break;
            }
            self.advance();
        }
        self.close(
            Tok::BraceClose,
            "`,` or `}`",
            if ellipsis { "'}'" } else { "'}' or ','" },
            open,
        )?;
        let run = raw::pool_run(&mut self.raw.formals, &mut formals, 0);
        Ok((run, ellipsis))
    }
}
