//! Attributes of sets: the one that is selected, what stands in for it, and whether it is there.

use nix_syntax::Symbol;
use nix_syntax::ast::{AttrName, HasAttr, Select};

use crate::Evaluator;
use crate::error::Result;
use crate::slot::Slot;
use crate::source::{NO_POS, Pos};
use crate::value::{Attrs, Env, Thunk, Value};

impl<'a> Evaluator<'a> {
    #[inline]
    pub(crate) fn eval_name(&self, name: &AttrName<'a>, env: &'a Env<'a>) -> Result<Symbol> {
        match name {
            AttrName::Static(name) => Ok(*name),
            AttrName::Dynamic(expr) => self.force_name(self.eval(expr, env)?, expr.span),
        }
    }

    #[inline(never)]
    pub(crate) fn eval_select(
        &self,
        node: &'a Select<'a>,
        env: &'a Env<'a>,
        pos: &Pos,
    ) -> Result<Slot<'a>> {
        let subject = self.eval_slot(node.subject, env)?;
        // Mostly there is one name.
        if let [AttrName::Static(name)] = node.path
            && let Some(attrs) = subject.as_attrs()
        {
            let slot = attrs.slot(*name);
            if let Some(slot) = slot.evaluated() {
                return Ok(slot);
            }
            return match (slot.as_thunk(), node.default) {
                (Some(thunk), _) => self.run_selected(thunk, Some((attrs, *name)), node, 1, pos),
                (None, Some(default)) => self.eval_slot(default, env),
                (None, None) => Err(self.missing_attr(attrs, *name, *pos)),
            };
        }
        self.select_many(subject, node, env, pos)
    }

    #[inline(never)]
    fn select_many(
        &self,
        subject: Slot<'a>,
        node: &'a Select<'a>,
        env: &'a Env<'a>,
        pos: &Pos,
    ) -> Result<Slot<'a>> {
        // What the slot is an attribute of: only errors ask where that is.
        let (mut slot, mut within) = (subject, None);
        for (index, name) in node.path.iter().enumerate() {
            // The name comes first: it may fail before what it is looked up in does.
            let name = self.eval_name(name, env)?;
            slot = self.selected(slot, within, node, index, pos)?;
            let attrs = slot.as_attrs();
            let found = attrs.map_or(Slot::HOLE, |attrs| attrs.slot(name));
            if found.is_hole() {
                return match (node.default, attrs) {
                    (Some(default), _) => self.eval_slot(default, env),
                    (None, Some(attrs)) => Err(self.missing_attr(attrs, name, *pos)),
                    (None, None) => Err(self.wrong_type("a set", slot.get(), node.subject.span)),
                };
            }
            (slot, within) = (found, attrs.map(|attrs| (attrs, name)));
        }
        self.selected(slot, within, node, node.path.len(), pos)
    }

    /// What the first `count` names of a path select, evaluated.
    #[inline]
    fn selected(
        &self,
        slot: Slot<'a>,
        within: Option<(&'a Attrs<'a>, Symbol)>,
        node: &'a Select<'a>,
        count: usize,
        pos: &Pos,
    ) -> Result<Slot<'a>> {
        match slot.as_thunk() {
            None => Ok(slot),
            Some(thunk) => match thunk.plain_slot() {
                Some(slot) => Ok(slot),
                None => self.run_selected(thunk, within, node, count, pos),
            },
        }
    }

    #[inline(never)]
    fn run_selected(
        &self,
        thunk: &'a Thunk<'a>,
        within: Option<(&'a Attrs<'a>, Symbol)>,
        node: &'a Select<'a>,
        count: usize,
        pos: &Pos,
    ) -> Result<Slot<'a>> {
        self.run_thunk(thunk, pos).map_err(|error| {
            let path = self.path_text(&node.path[..count]);
            let at = match within {
                Some((attrs, name)) => attrs.get(name).map_or(NO_POS, |attr| attr.pos()),
                None => node.subject.span,
            };
            error.frame(at, format!("while evaluating the attribute '{path}'"))
        })
    }

    #[cold]
    fn path_text(&self, path: &[AttrName<'a>]) -> String {
        let names: Vec<String> = path
            .iter()
            .map(|name| match name {
                AttrName::Static(name) => self.written_name(*name),
                AttrName::Dynamic(_) => "${…}".to_owned(),
            })
            .collect();
        names.join(".")
    }

    #[inline(never)]
    pub(crate) fn eval_has_attr(
        &self,
        node: &'a HasAttr<'a>,
        env: &'a Env<'a>,
    ) -> Result<Slot<'a>> {
        let mut slot = self.eval_slot(node.subject, env)?;
        if let [AttrName::Static(name)] = node.path {
            let has = slot.as_attrs().is_some_and(|attrs| attrs.has(*name));
            return Ok(Slot::bool(has));
        }
        let mut path = node.path.iter();
        let mut name = path.next();
        while let Some(this) = name {
            let symbol = self.eval_name(this, env)?;
            let Some(attrs) = slot.as_attrs() else { return Ok(Slot::bool(false)) };
            let found = attrs.slot(symbol);
            if found.is_hole() {
                return Ok(Slot::bool(false));
            }
            name = path.next();
            if name.is_some() {
                slot = match found.evaluated() {
                    Some(slot) => slot,
                    None => self.select_forced(attrs, symbol)?,
                };
            }
        }
        Ok(Slot::bool(true))
    }

    /// The attribute `name`, which is there, evaluated.
    #[inline(never)]
    fn select_forced(&self, attrs: &'a Attrs<'a>, name: Symbol) -> Result<Slot<'a>> {
        let pos = attrs.get(name).map_or(NO_POS, |attr| attr.pos());
        self.force_slot(attrs.slot(name), &pos)
    }

    /// The attribute `name`, evaluated.
    pub(crate) fn select(&self, attrs: &'a Attrs<'a>, name: Symbol, pos: Pos) -> Result<Value<'a>> {
        self.select_slot(attrs, name, pos).map(Slot::get)
    }

    pub(crate) fn select_slot(
        &self,
        attrs: &'a Attrs<'a>,
        name: Symbol,
        pos: Pos,
    ) -> Result<Slot<'a>> {
        let slot = attrs.slot(name);
        if slot.is_hole() {
            return Err(self.missing_attr(attrs, name, pos));
        }
        self.force_slot(slot, &pos).map_err(|error| {
            let text = format!("while evaluating the attribute '{}'", self.written_name(name));
            error.frame(attrs.get(name).map_or(NO_POS, |attr| attr.pos()), text)
        })
    }
}
