//! Attribute sets and scopes from the bindings that the source says.

use std::cell::Cell;

use nix_syntax::ast::{AttrSet, AttrValue};

use crate::Evaluator;
use crate::error::{Error, Result};
use crate::slot::Slot;
use crate::source::{self, Pos};
use crate::sym;
use crate::value::{Attr, Attrs, Env, Value};
use crate::warm::Site;

impl<'a> Evaluator<'a> {
    /// The scope of a `let` or `rec`, where `fixed` variables stay what they are; `late` ones get a
    /// thunk only when something refers to them.
    #[inline(never)]
    pub(crate) fn bind(
        &self,
        set: &'a AttrSet<'a>,
        outer: &'a Env<'a>,
        fixed: bool,
        late: bool,
    ) -> &'a Env<'a> {
        if fixed
            && let Some(graph) = &self.graph
            && let Some(env) = self.bind_again(graph, set, outer)
        {
            return env;
        }
        if !late {
            outer.keep();
        }
        let env = self.scope(outer, set.attrs.len());
        if fixed && let Some(graph) = &self.graph {
            graph.new_env(Site::of(set), env);
        }
        let sources = self.sources_of(set, env);
        for (attr, slot) in set.attrs.iter().zip(env.slots()) {
            slot.set(match attr.value {
                AttrValue::Plain(expr) if late => self.unmade(expr, env),
                AttrValue::Plain(expr) if fixed => self.delayed_bound(expr, env),
                // What a variable stands for may still change.
                AttrValue::Plain(expr) => self.waiting(expr, env),
                AttrValue::Inherited(expr) => self.delayed(expr, outer),
                AttrValue::From(index) => self.inherited(&sources[index as usize], attr),
            });
        }
        env
    }

    #[inline]
    pub(crate) fn sources_of(&self, set: &AttrSet<'a>, env: &'a Env<'a>) -> &'a [Slot<'a>] {
        if set.sources.is_empty() { &[] } else { self.some_sources_of(set, env) }
    }

    #[inline(never)]
    fn some_sources_of(&self, set: &AttrSet<'a>, env: &'a Env<'a>) -> &'a [Slot<'a>] {
        let sources = set.sources.iter().map(|expr| self.delayed(expr, env));
        self.arena.alloc_slice_fill_iter(sources)
    }

    #[inline(never)]
    pub(crate) fn eval_attrs(
        &self,
        set: &'a AttrSet<'a>,
        outer: &'a Env<'a>,
        pos: &Pos,
    ) -> Result<Slot<'a>> {
        if !set.dynamic.is_empty() {
            return self.eval_dynamic_attrs(set, outer, pos);
        }
        if !set.recursive {
            let slots = self.plain_slots(set, outer);
            return Ok(Slot::attrs(self.written_set(set, slots)));
        }
        let env = self.bind(set, outer, !has_overrides(set), false);
        let attrs = self.written_set(set, env.slots().iter().map(Cell::get));
        Ok(Slot::attrs(if has_overrides(set) {
            self.overridden(attrs, set, env, pos)?
        } else {
            attrs
        }))
    }

    /// A set of the attributes with known names, with these values.
    #[inline]
    fn written_set(
        &self,
        set: &'a AttrSet<'a>,
        slots: impl ExactSizeIterator<Item = Slot<'a>>,
    ) -> &'a Attrs<'a> {
        if self.graph.is_none() {
            return Attrs::written(self.arena, set, slots);
        }
        Attrs::new(self.arena, self.arena.alloc_slice_fill_iter(named(set, slots)))
    }

    /// The values of attributes with known names of a set that is not recursive.
    #[inline(always)]
    fn plain_slots(
        &self,
        set: &'a AttrSet<'a>,
        env: &'a Env<'a>,
    ) -> impl ExactSizeIterator<Item = Slot<'a>> {
        let sources = self.sources_of(set, env);
        set.attrs.iter().map(move |attr| match attr.value {
            AttrValue::Plain(expr) => self.delayed_bound(expr, env),
            AttrValue::Inherited(expr) => self.delayed(expr, env),
            AttrValue::From(index) => self.inherited(&sources[index as usize], attr),
        })
    }

    /// What `__overrides` makes of a recursive set and of its scope.
    #[cold]
    fn overridden(
        &self,
        attrs: &'a Attrs<'a>,
        set: &'a AttrSet<'a>,
        env: &'a Env<'a>,
        pos: &Pos,
    ) -> Result<&'a Attrs<'a>> {
        let Some(overrides) = attrs.value(sym::OVERRIDES) else { return Ok(attrs) };
        let overrides = self.force_attrs(overrides, *pos)?;
        for (attr, slot) in set.attrs.iter().zip(env.slots()) {
            if let Some(value) = overrides.value(attr.name) {
                slot.set(self.slot(value));
            }
        }
        Ok(self.update(attrs, overrides))
    }

    /// A set with names that are computed. Its attributes are put together outside of the arena: names
    /// are evaluated in between, and only the whole of it is kept.
    #[inline(never)]
    fn eval_dynamic_attrs(
        &self,
        set: &'a AttrSet<'a>,
        outer: &'a Env<'a>,
        pos: &Pos,
    ) -> Result<Slot<'a>> {
        let mut entries = Vec::with_capacity(set.attrs.len() + set.dynamic.len());
        let mut env = outer;
        if set.recursive {
            env = self.bind(set, outer, !has_overrides(set), false);
            entries.extend(named(set, env.slots().iter().map(Cell::get)));
        } else {
            entries.extend(named(set, self.plain_slots(set, outer)));
        }
        if set.recursive && has_overrides(set) {
            let attrs = Attrs::new(self.arena, self.arena.alloc_slice_copy(&entries));
            entries = self.entries(self.overridden(attrs, set, env, pos)?).to_vec();
        }
        for attr in set.dynamic {
            let name = match self.eval(attr.name, env)? {
                Value::Null => continue,
                name => self.force_name(name, attr.name.span)?,
            };
            match entries.binary_search_by_key(&name, |entry| entry.name) {
                Ok(at) => {
                    let text = self.written_name(name);
                    let place = self.place(entries[at].pos());
                    let message = format!("dynamic attribute '{text}' already defined at {place}");
                    return Err(Error::eval(message, source::at(attr.place)));
                }
                Err(at) => {
                    let slot = self.delayed_bound(attr.value, env);
                    entries.insert(at, Attr { name, place: attr.place, slot });
                }
            }
        }
        Ok(Slot::attrs(Attrs::new(self.arena, self.arena.alloc_slice_copy(&entries))))
    }
}

fn has_overrides(set: &AttrSet<'_>) -> bool {
    set.attrs.iter().any(|attr| attr.name == sym::OVERRIDES)
}

/// The attributes with known names, with these values.
fn named<'a>(
    set: &'a AttrSet<'a>,
    slots: impl ExactSizeIterator<Item = Slot<'a>>,
) -> impl ExactSizeIterator<Item = Attr<'a>> {
    set.attrs.iter().zip(slots).map(|(attr, slot)| Attr {
        name: attr.name,
        place: attr.place,
        slot,
    })
}
