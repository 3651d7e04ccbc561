//! Lists.

use std::collections::HashSet;

use rustc_hash::FxHashMap;

use super::Out;
use crate::Evaluator;
use crate::error::{Error, Result};
use crate::slot::Slot;
use crate::source::{Place, Pos};
use crate::sym;
use crate::value::{Delayed, List, PrimOp, Value};

pub(super) static OPS: &[PrimOp] = &[
    PrimOp { name: "all", arity: 2, run: all, lends: 0b11 },
    PrimOp { name: "any", arity: 2, run: any, lends: 0b11 },
    PrimOp { name: "concatLists", arity: 1, run: concat_lists, lends: 0b1 },
    PrimOp { name: "concatMap", arity: 2, run: concat_map, lends: 0b11 },
    PrimOp { name: "elem", arity: 2, run: elem, lends: 0b11 },
    PrimOp { name: "elemAt", arity: 2, run: elem_at, lends: 0b11 },
    PrimOp { name: "filter", arity: 2, run: filter, lends: 0b11 },
    PrimOp { name: "foldl'", arity: 3, run: foldl, lends: 0b101 },
    PrimOp { name: "genList", arity: 2, run: gen_list, lends: 0b11 },
    PrimOp { name: "genericClosure", arity: 1, run: generic_closure, lends: 0b1 },
    PrimOp { name: "groupBy", arity: 2, run: group_by, lends: 0b11 },
    PrimOp { name: "head", arity: 1, run: head, lends: 0b1 },
    PrimOp { name: "length", arity: 1, run: length, lends: 0b1 },
    PrimOp { name: "map", arity: 2, run: map, lends: 0b11 },
    PrimOp { name: "partition", arity: 2, run: partition, lends: 0b11 },
    PrimOp { name: "sort", arity: 2, run: sort, lends: 0b11 },
    PrimOp { name: "tail", arity: 1, run: tail, lends: 0b1 },
];

impl<'a> Evaluator<'a> {
    fn test(&self, fun: Slot<'a>, item: Slot<'a>, pos: Pos) -> Result<bool> {
        let answer = self.call_slots(fun, &[item], &pos)?;
        match answer.as_bool() {
            Some(answer) => Ok(answer),
            None => self.force_bool(answer.get(), pos),
        }
    }
}

fn all<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let fun = nix.slot(nix.force_function(args[0], pos)?);
    for item in nix.force_list(args[1], pos)?.slots() {
        if !nix.test(fun, *item, pos)? {
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(true))
}

fn any<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let fun = nix.slot(nix.force_function(args[0], pos)?);
    for item in nix.force_list(args[1], pos)?.slots() {
        if nix.test(fun, *item, pos)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn concat_lists<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let items = nix.force_list(args[0], pos)?.items();
    let mut lists: Vec<&'a List<'a>> = Vec::with_capacity(items.len());
    for list in items {
        lists.push(nix.force_list(list, pos)?);
    }
    Ok(nix.concat_lists(&lists))
}

fn concat_map<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let fun = nix.slot(nix.force_function(args[0], pos)?);
    let items = nix.force_list(args[1], pos)?.slots();
    let mut lists = Vec::with_capacity(items.len());
    for item in items {
        let list = nix.call_slots(fun, &[*item], &pos)?;
        lists.push(nix.force_list(list.get(), pos)?);
    }
    Ok(nix.concat_lists(&lists))
}

fn elem<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let list = nix.force_list(args[1], pos)?;
    for item in list.items() {
        // As elements are compared: a function is equal to itself.
        if nix.equal_inside(args[0], item, pos)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn elem_at<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let index = nix.force_int(args[1], pos)?;
    let list = nix.force_list(args[0], pos)?;
    match usize::try_from(index).ok().and_then(|index| list.slots().get(index)) {
        Some(item) => nix.force(item.get(), pos),
        None => {
            let message = format!(
                "'builtins.elemAt' called with index {index} on a list of size {}",
                list.slots().len()
            );
            Err(Error::eval(message, pos))
        }
    }
}

fn filter<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let list = nix.force_list(args[1], pos)?;
    if list.slots().is_empty() {
        return Ok(Value::List(list));
    }
    let fun = nix.slot(nix.force_function(args[0], pos)?);
    // Nothing is copied before something is left out.
    let mut same = 0;
    for item in list.slots() {
        if !nix.test(fun, *item, pos)? {
            break;
        }
        same += 1;
    }
    if same == list.slots().len() {
        return Ok(Value::List(list));
    }
    let (start, rest) = list.slots().split_at(same);
    let mut kept = start.to_vec();
    for item in &rest[1..] {
        if nix.test(fun, *item, pos)? {
            kept.push(*item);
        }
    }
    Ok(nix.list_of_slots(nix.arena.alloc_slice_copy(&kept)))
}

fn foldl<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let fun = nix.force_function(args[0], pos)?;
    let list = nix.force_list(args[2], pos)?;
    let mut value = args[1];
    for item in list.items() {
        value = nix.call(fun, &[value, item], pos)?;
    }
    nix.force(value, pos)
}

fn gen_list<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let count = nix.force_int(args[1], pos)?;
    let Ok(count) = u32::try_from(count) else {
        return Err(Error::eval(format!("cannot create list of size {count}"), pos));
    };
    let fun = nix.force_function(args[0], pos)?;
    // Each element is a slot, a thunk and its argument.
    nix.check_room(count as usize * 32, pos)?;
    let fun: &'a Slot<'a> = nix.arena.alloc(nix.slot(fun));
    let items = nix.arena.alloc_slice_fill_iter((0..count).map(|index| {
        let index = nix.arena.alloc(nix.slot(Value::Int(i64::from(index))));
        nix.thunk(Delayed::Apply(fun, index))
    }));
    Ok(nix.list_of_slots(items))
}

/// The keys met so far.
#[derive(Default)]
struct Seen<'a> {
    strings: HashSet<&'a [u8]>,
    ints: HashSet<i64>,
    others: Vec<Value<'a>>,
}

impl<'a> Seen<'a> {
    /// Whether the key is new.
    fn insert(&mut self, nix: &Evaluator<'a>, key: Value<'a>, pos: Pos) -> Result<bool> {
        match key {
            Value::String(string) if self.others.is_empty() && self.ints.is_empty() => {
                Ok(self.strings.insert(string.bytes))
            }
            Value::Int(number) if self.others.is_empty() && self.strings.is_empty() => {
                Ok(self.ints.insert(number))
            }
            key => {
                if let Some(other) = self.strings.iter().next() {
                    nix.less(key, nix.string(other), pos)?;
                }
                for other in &self.others {
                    if !nix.less(key, *other, pos)? && !nix.less(*other, key, pos)? {
                        return Ok(false);
                    }
                }
                for other in &self.ints {
                    let other = Value::Int(*other);
                    if !nix.less(key, other, pos)? && !nix.less(other, key, pos)? {
                        return Ok(false);
                    }
                }
                self.others.push(key);
                Ok(true)
            }
        }
    }
}

fn generic_closure<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let attrs = nix.force_attrs(args[0], pos)?;
    let start = nix.force_list(nix.need(attrs, sym::START_SET, pos)?.value(), pos)?;
    if start.slots().is_empty() {
        return Ok(Value::List(start));
    }
    let operator = nix.force_function(nix.need(attrs, sym::OPERATOR, pos)?.value(), pos)?;
    let mut work: std::collections::VecDeque<Value<'a>> = start.items().collect();
    let mut seen = Seen::default();
    let mut found = Vec::new();
    while let Some(item) = work.pop_front() {
        let item = nix.force(item, pos)?;
        let key = nix.need(nix.force_attrs(item, pos)?, sym::KEY, pos)?;
        let key = nix.force(key.value(), key.pos())?;
        if !seen.insert(nix, key, pos)? {
            continue;
        }
        found.push(item);
        let next = nix.call_one(operator, item, pos)?;
        for item in nix.force_list(next, pos)?.items() {
            work.push_back(nix.force(item, pos)?);
        }
    }
    Ok(nix.list_from(&found))
}

fn group_by<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let fun = nix.force_function(args[0], pos)?;
    let mut groups: FxHashMap<nix_syntax::Symbol, Vec<Value<'a>>> = FxHashMap::default();
    for item in nix.force_list(args[1], pos)?.items() {
        let name = nix.call_one(fun, item, pos)?;
        groups.entry(nix.force_name(name, pos)?).or_default().push(item);
    }
    let entries =
        groups.into_iter().map(|(name, items)| nix.attr(name, Place::NONE, nix.list_from(&items)));
    Ok(nix.attrs_from(entries.collect()))
}

fn head<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    match nix.force_list(args[0], pos)?.slots().first() {
        Some(item) => nix.force(item.get(), pos),
        None => Err(Error::eval("'builtins.head' called on an empty list", pos)),
    }
}

fn length<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    Ok(Value::Int(nix.force_list(args[0], pos)?.slots().len() as i64))
}

fn map<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let list = nix.force_list(args[1], pos)?;
    if list.slots().is_empty() {
        return Ok(Value::List(list));
    }
    let fun = nix.force_function(args[0], pos)?;
    let fun: &'a Slot<'a> = nix.arena.alloc(nix.slot(fun));
    let items = list.slots().iter().map(|item| nix.thunk(Delayed::Apply(fun, item)));
    Ok(nix.list_of_slots(nix.arena.alloc_slice_fill_iter(items)))
}

fn partition<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let fun = nix.slot(nix.force_function(args[0], pos)?);
    let (mut right, mut wrong) = (Vec::new(), Vec::new());
    for item in nix.force_list(args[1], pos)?.items() {
        let item = nix.force(item, pos)?;
        let yes = nix.test(fun, nix.slot(item), pos)?;
        if yes { right.push(item) } else { wrong.push(item) }
    }
    Ok(nix.attrs_of([(sym::RIGHT, nix.list_from(&right)), (sym::WRONG, nix.list_from(&wrong))]))
}

fn sort<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let list = nix.force_list(args[1], pos)?;
    if list.slots().is_empty() {
        return Ok(Value::List(list));
    }
    let fun = nix.force_function(args[0], pos)?;
    let plain = matches!(fun, Value::PrimOp(op) if op.name == "lessThan");
    let mut items = Vec::with_capacity(list.slots().len());
    for item in list.items() {
        let value = nix.force(item, pos)?;
        items.push(if value.has_identity() { item } else { value });
    }
    // The usual case, which cannot fail.
    if plain && items.iter().all(|item| matches!(item, Value::String(_))) {
        let text = |item: &Value<'a>| if let Value::String(text) = item { text.bytes } else { b"" };
        items.sort_by(|left, right| text(left).cmp(text(right)));
        return Ok(nix.list_from(&items));
    }
    let mut less = |left: Value<'a>, right: Value<'a>| -> Result<bool> {
        if plain {
            return nix.less(nix.force(left, pos)?, nix.force(right, pos)?, pos);
        }
        let answer = nix.call(fun, &[left, right], pos)?;
        nix.force_bool(answer, pos)
    };
    merge_sort(&mut items, &mut less)?;
    Ok(nix.list_from(&items))
}

/// A stable sort that takes any order, also one that makes no sense, and errors.
fn merge_sort<'a>(
    items: &mut Vec<Value<'a>>,
    less: &mut impl FnMut(Value<'a>, Value<'a>) -> Result<bool>,
) -> Result<()> {
    let count = items.len();
    let mut from = std::mem::take(items);
    let mut width = 1;
    while width < count {
        let mut into = Vec::with_capacity(count);
        for start in (0..count).step_by(width * 2) {
            let middle = (start + width).min(count);
            let end = (start + 2 * width).min(count);
            let (mut left, mut right) = (start, middle);
            while left < middle && right < end {
                // Runs that are already in order are one comparison each.
                if left == start && right == middle && !less(from[middle], from[middle - 1])? {
                    break;
                }
                if less(from[right], from[left])? {
                    into.push(from[right]);
                    right += 1;
                } else {
                    into.push(from[left]);
                    left += 1;
                }
            }
            into.extend_from_slice(&from[left..middle]);
            into.extend_from_slice(&from[right..end]);
        }
        from = into;
        width *= 2;
    }
    *items = from;
    Ok(())
}

fn tail<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    match nix.force_list(args[0], pos)?.slots() {
        [] => Err(Error::eval("'builtins.tail' called on an empty list", pos)),
        // The rest of a list is the same memory.
        [_, rest @ ..] => Ok(Value::List(nix.arena.alloc(List::new(nix.arena, rest)))),
    }
}
