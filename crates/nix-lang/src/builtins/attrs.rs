//! Attribute sets.

use super::Out;
use crate::Evaluator;
use crate::error::Error;
use crate::sets::gathered;
use crate::slot::Slot;
use crate::source::{Place, Pos};
use crate::sym;
use crate::value::{Attr, Attrs, Delayed, PrimOp, Value};

pub(super) static OPS: &[PrimOp] = &[
    PrimOp { name: "attrNames", arity: 1, run: attr_names, lends: 0b1 },
    PrimOp { name: "attrValues", arity: 1, run: attr_values, lends: 0b1 },
    PrimOp { name: "catAttrs", arity: 2, run: cat_attrs, lends: 0b11 },
    PrimOp { name: "functionArgs", arity: 1, run: function_args, lends: 0b1 },
    PrimOp { name: "getAttr", arity: 2, run: get_attr, lends: 0b11 },
    PrimOp { name: "hasAttr", arity: 2, run: has_attr, lends: 0b11 },
    PrimOp { name: "intersectAttrs", arity: 2, run: intersect_attrs, lends: 0b11 },
    PrimOp { name: "listToAttrs", arity: 1, run: list_to_attrs, lends: 0b1 },
    PrimOp { name: "mapAttrs", arity: 2, run: map_attrs, lends: 0b10 },
    PrimOp { name: "removeAttrs", arity: 2, run: remove_attrs, lends: 0b11 },
    PrimOp { name: "unsafeGetAttrPos", arity: 2, run: unsafe_get_attr_pos, lends: 0b11 },
    PrimOp { name: "zipAttrsWith", arity: 2, run: zip_attrs_with, lends: 0b11 },
];

impl<'a> Evaluator<'a> {
    /// A set of attributes that are sorted. They come in a vector of their own: one in the arena
    /// would keep the room that it did not need.
    pub(crate) fn attrs_in_order(&self, entries: &[Attr<'a>]) -> Value<'a> {
        Value::Attrs(Attrs::new(self.arena, self.arena.alloc_slice_copy(entries)))
    }

    pub(crate) fn position_value(&self, pos: Pos) -> Value<'a> {
        if let Some(graph) = &self.graph {
            self.note_place(graph, pos);
        }
        match self.location(pos) {
            Some(location) if location.is_file => self.attrs_of([
                (sym::FILE, self.file_value(&location.file)),
                (sym::LINE, Value::Int(location.line.into())),
                (sym::COLUMN, Value::Int(location.column.into())),
            ]),
            _ => Value::Null,
        }
    }
}

impl<'a> Evaluator<'a> {
    /// The name of a file: inside of a source tree, where it will be in the store. The tree is hashed
    /// only when somebody asks.
    fn file_value(&self, file: &str) -> Value<'a> {
        match self.tree_of(file.as_bytes()) {
            Some(_) => self.native(stored_file, &[self.string(file)]),
            None => self.string(file),
        }
    }
}

fn stored_file<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let file = nix.force_string(args[0], pos)?;
    let (text, ctx) = nix.path_text_for(file.bytes, pos)?;
    Ok(nix.string_with(&text, ctx))
}

fn attr_names<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let attrs = nix.force_attrs(args[0], pos)?;
    let names = nix.sorted(attrs);
    Ok(nix.list_of(names.iter().map(|attr| nix.symbol_string(attr.name))))
}

fn attr_values<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let attrs = nix.force_attrs(args[0], pos)?;
    let values = nix.sorted(attrs);
    let slots = values.iter().map(|attr| attr.slot);
    Ok(nix.list_of_slots(nix.arena.alloc_slice_fill_iter(slots)))
}

fn cat_attrs<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let name = nix.force_name(args[0], pos)?;
    let mut found = Vec::new();
    for item in nix.force_list(args[1], pos)?.items() {
        found.extend(nix.force_attrs(item, pos)?.value(name));
    }
    Ok(nix.list_from(&found))
}

fn function_args<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    match nix.force(args[0], pos)? {
        Value::Lambda(closure) => {
            let formals = closure.lambda.formals.iter().flat_map(|formals| formals.list);
            let entries = formals.map(|formal| {
                nix.attr(formal.name, formal.place, Value::Bool(formal.default.is_some()))
            });
            Ok(nix.attrs_in_order(&entries.collect::<Vec<_>>()))
        }
        Value::PrimOp(_) | Value::PrimOpApp(_) => Ok(nix.attrs_of([])),
        _ => Err(Error::ty("'functionArgs' requires a function", pos)),
    }
}

fn get_attr<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let name = nix.force_name(args[0], pos)?;
    let attr = nix.need(nix.force_attrs(args[1], pos)?, name, pos)?;
    nix.force(attr.value(), attr.pos()).map_err(|error| {
        let text = format!("while evaluating the attribute '{}'", nix.name(name));
        error.frame(attr.pos(), text)
    })
}

fn has_attr<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let name = nix.force_name(args[0], pos)?;
    Ok(Value::Bool(nix.force_attrs(args[1], pos)?.has(name)))
}

fn intersect_attrs<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let left = nix.force_attrs(args[0], pos)?;
    let right = nix.force_attrs(args[1], pos)?;
    let mut entries = Vec::with_capacity(16);
    if nix.count(left) < nix.count(right) {
        entries.extend(gathered(left).iter().filter_map(|attr| right.get(attr.name)));
    } else {
        entries.extend(gathered(right).iter().filter(|attr| left.has(attr.name)));
    }
    Ok(nix.attrs_in_order(&entries))
}

fn list_to_attrs<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let list = nix.force_list(args[0], pos)?;
    // Of several with one name the first counts, and the values of the others are not needed:
    // all names are looked at before any value.
    let mut named = Vec::with_capacity(list.slots().len());
    for item in list.items() {
        let item = nix.force_attrs(item, pos)?;
        let name = nix.need(item, sym::NAME, pos)?;
        named.push((nix.force_name(name.value(), name.pos())?, item));
    }
    named.sort_by_key(|(name, _)| *name);
    named.dedup_by_key(|(name, _)| *name);
    let mut entries = Vec::with_capacity(named.len());
    for (name, item) in named {
        let value = nix.need(item, sym::VALUE, pos)?;
        entries.push(Attr { name, place: value.place, slot: value.slot });
    }
    Ok(nix.attrs_in_order(&entries))
}

fn map_attrs<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let attrs = nix.force_attrs(args[1], pos)?;
    if attrs.is_empty() {
        return Ok(Value::Attrs(attrs));
    }
    let fun: &'a Slot<'a> = nix.arena.alloc(nix.slot(args[0]));
    let entries = nix.arena.alloc_slice_fill_iter(nix.entries(attrs).iter().map(|attr| {
        // The new attributes are written nowhere.
        let slot = nix.thunk(Delayed::ApplyAttr(fun, attr));
        Attr { name: attr.name, place: Place::NONE, slot }
    }));
    Ok(Value::Attrs(Attrs::new(nix.arena, entries)))
}

fn remove_attrs<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let attrs = nix.force_attrs(args[0], pos)?;
    let given = nix.force_list(args[1], pos)?.items();
    let mut names = Vec::with_capacity(given.len());
    for name in given {
        names.extend(nix.force_known_name(name, pos)?);
    }
    // What is taken out is mostly not there.
    names.retain(|name| attrs.has(*name));
    if names.is_empty() {
        return Ok(Value::Attrs(attrs));
    }
    names.sort_unstable();
    names.dedup();
    Ok(Value::Attrs(nix.without(attrs, &names)))
}

fn unsafe_get_attr_pos<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let name = nix.force_name(args[0], pos)?;
    let attrs = nix.force_attrs(args[1], pos)?;
    Ok(attrs.get(name).map_or(Value::Null, |attr| nix.position_value(attr.pos())))
}

fn zip_attrs_with<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let fun = nix.force_function(args[0], pos)?;
    let mut found: Vec<Attr<'a>> = Vec::new();
    for item in nix.force_list(args[1], pos)?.items() {
        found.extend_from_slice(&gathered(nix.force_attrs(item, pos)?));
    }
    // In the order of the sets where names are the same.
    found.sort_by_key(|attr| attr.name);
    let fun: &'a Slot<'a> = nix.arena.alloc(nix.slot(fun));
    let entries = found.chunk_by(|one, next| one.name == next.name).map(|same| {
        let name = same[0].name;
        let values = nix.arena.alloc_slice_fill_iter(same.iter().map(|attr| attr.slot));
        let values = nix.attr(name, Place::NONE, nix.list_of_slots(values));
        let slot = nix.thunk(Delayed::ApplyAttr(fun, nix.arena.alloc(values)));
        Attr { name, place: Place::NONE, slot }
    });
    let entries: Vec<Attr<'a>> = entries.collect();
    Ok(nix.attrs_in_order(&entries))
}
