//! Regular expressions: POSIX extended.

use std::ops::Range;
use std::rc::Rc;

use posix_ere::Regex;

use super::Out;
use crate::Evaluator;
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::source::Pos;
use crate::value::{PrimOp, Value};

pub(super) static OPS: &[PrimOp] = &[
    PrimOp { name: "match", arity: 2, run: full_match, lends: 0 },
    PrimOp { name: "split", arity: 2, run: split, lends: 0 },
];

fn regex<'a>(nix: &Evaluator<'a>, value: Value<'a>, pos: Pos) -> Result<Rc<Regex>> {
    let pattern = nix.force_plain(value, pos)?;
    if let Some(regex) = nix.regexes.borrow().get(pattern) {
        return Ok(regex.clone());
    }
    let regex = Regex::new(pattern).map_err(|error| {
        let text = String::from_utf8_lossy(pattern);
        let problem = match error {
            posix_ere::Error::TooLarge => "memory limit exceeded by",
            _ => "invalid",
        };
        Error::eval(format!("{problem} regular expression '{text}'"), pos).hint(error.to_string())
    })?;
    let regex = Rc::new(regex);
    nix.regexes.borrow_mut().insert(pattern.to_vec(), regex.clone());
    Ok(regex)
}

fn groups<'a>(nix: &Evaluator<'a>, text: &'a [u8], groups: &[Option<Range<usize>>]) -> Value<'a> {
    let groups: Vec<Value<'a>> = groups
        .iter()
        .skip(1)
        .map(|group| match group {
            Some(range) => super::strings::part(nix, text, range.start, range.end, Ctx::NONE),
            None => Value::Null,
        })
        .collect();
    nix.list_from(&groups)
}

fn full_match<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let regex = regex(nix, args[0], pos)?;
    let text = nix.force_string(args[1], pos)?.bytes;
    Ok(regex.full_match(text).map_or(Value::Null, |found| groups(nix, text, &found)))
}

fn split<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let regex = regex(nix, args[0], pos)?;
    let string = nix.force_string(args[1], pos)?;
    let text = string.bytes;
    let mut items = Vec::new();
    let (mut from, mut search) = (0, 0);
    while search <= text.len() {
        let Some(found) = regex.find_at(text, search) else { break };
        let Some(Some(whole)) = found.first().cloned() else { break };
        // What is cut out of a string does not keep its context.
        items.push(super::strings::part(nix, text, from, whole.start, Ctx::NONE));
        items.push(groups(nix, text, &found));
        from = whole.end;
        // An empty match is followed by a search one byte on; after another one there may still be
        // an empty one at the very end.
        search = if whole.is_empty() { whole.end + 1 } else { whole.end };
    }
    if items.is_empty() {
        return Ok(nix.list_from(&[Value::String(string)]));
    }
    items.push(super::strings::part(nix, text, from, text.len(), Ctx::NONE));
    Ok(nix.list_from(&items))
}
