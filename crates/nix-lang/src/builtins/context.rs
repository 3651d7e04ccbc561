//! String contexts, seen and changed.

use std::collections::BTreeMap;

use nix_compat::StorePath;

use super::Out;
use crate::Evaluator;
use crate::context::{ContextElem, Ctx};
use crate::error::{Error, Result};
use crate::source::{Place, Pos};
use crate::sym;
use crate::value::{PrimOp, Value};

pub(super) static OPS: &[PrimOp] = &[
    PrimOp {
        name: "addDrvOutputDependencies",
        arity: 1,
        run: add_drv_output_dependencies,
        lends: 0,
    },
    PrimOp { name: "appendContext", arity: 2, run: append_context, lends: 0 },
    PrimOp { name: "getContext", arity: 1, run: get_context, lends: 0 },
    PrimOp { name: "hasContext", arity: 1, run: has_context, lends: 0 },
    PrimOp {
        name: "unsafeDiscardOutputDependency",
        arity: 1,
        run: discard_output_dependency,
        lends: 0,
    },
    PrimOp { name: "unsafeDiscardStringContext", arity: 1, run: discard_context, lends: 0 },
];

fn with_context<'a>(nix: &Evaluator<'a>, bytes: &'a [u8], ctx: Ctx) -> Value<'a> {
    super::strings::part(nix, bytes, 0, bytes.len(), ctx)
}

fn text<'a>(nix: &Evaluator<'a>, value: Value<'a>, pos: Pos) -> Result<&'a crate::value::Str<'a>> {
    let value = nix.coerce(value, crate::coerce::Coercion::INTERPOLATE, pos)?;
    nix.force_string(value, pos)
}

fn has_context<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    Ok(Value::Bool(!nix.force_string(args[0], pos)?.ctx.is_empty()))
}

fn discard_context<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let string = text(nix, args[0], pos)?;
    Ok(with_context(nix, string.bytes, Ctx::NONE))
}

fn discard_output_dependency<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let string = text(nix, args[0], pos)?;
    let ctx =
        nix.contexts.of_elems(nix.contexts.elems(string.ctx).into_iter().map(|elem| match elem {
            ContextElem::DrvDeep(path) => ContextElem::Opaque(path),
            other => other,
        }));
    Ok(with_context(nix, string.bytes, ctx))
}

fn add_drv_output_dependencies<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let string = text(nix, args[0], pos)?;
    let elems = nix.contexts.elems(string.ctx);
    let [elem] = elems.as_slice() else {
        let message = format!(
            "context of string '{}' must have exactly one element, but has {}",
            string.text(),
            elems.len()
        );
        return Err(Error::eval(message, pos));
    };
    let deep = match elem {
        ContextElem::Opaque(path) if path.is_derivation() => ContextElem::DrvDeep(path.clone()),
        deep @ ContextElem::DrvDeep(_) => deep.clone(),
        ContextElem::Opaque(path) => {
            let message = format!("path '{}' is not a derivation", nix.store_dir.render_path(path));
            return Err(Error::eval(message, pos));
        }
        ContextElem::Built { .. } | ContextElem::Dynamic { .. } => {
            let output = match elem {
                ContextElem::Built { output, .. } => Some(output),
                ContextElem::Dynamic { outputs, .. } => outputs.last(),
                _ => None,
            };
            let output = output.map(String::as_str).unwrap_or_default();
            let message = format!(
                "`addDrvOutputDependencies` can only act on derivations, not on a derivation output such as '{output}'"
            );
            return Err(Error::eval(message, pos));
        }
    };
    Ok(with_context(nix, string.bytes, nix.contexts.singleton(&deep)))
}

#[derive(Default)]
struct Uses {
    path: bool,
    all_outputs: bool,
    outputs: Vec<String>,
}

fn get_context<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let string = nix.force_string(args[0], pos)?;
    let mut uses: BTreeMap<StorePath, Uses> = BTreeMap::new();
    for elem in nix.contexts.elems(string.ctx) {
        if let ContextElem::Dynamic { drv, outputs } = &elem {
            if let Some((output, before)) = outputs.split_last() {
                let made = super::dynamic::made_by(nix, drv, before, pos)?;
                uses.entry(made).or_default().outputs.push(output.clone());
            }
            continue;
        }
        let entry = uses.entry(elem.path().clone()).or_default();
        match &elem {
            ContextElem::Opaque(_) => entry.path = true,
            ContextElem::DrvDeep(_) => entry.all_outputs = true,
            ContextElem::Built { output, .. } => entry.outputs.push(output.clone()),
            ContextElem::Dynamic { .. } => {}
        }
    }
    let entries = uses.into_iter().map(|(path, mut uses)| {
        let mut attrs = Vec::new();
        let mut add = |name, value| attrs.push(nix.attr(name, Place::NONE, value));
        if uses.path {
            add(sym::PATH, Value::Bool(true));
        }
        if uses.all_outputs {
            add(sym::ALL_OUTPUTS, Value::Bool(true));
        }
        if !uses.outputs.is_empty() {
            uses.outputs.sort();
            let outputs: Vec<Value<'a>> =
                uses.outputs.iter().map(|output| nix.string(output)).collect();
            add(sym::OUTPUTS, nix.list_from(&outputs));
        }
        let name = nix.symbols.intern(nix.store_dir.render_path(&path).as_bytes());
        nix.attr(name, Place::NONE, nix.attrs_from(attrs))
    });
    Ok(nix.attrs_from(entries.collect()))
}

fn append_context<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let string = nix.force_string(args[0], pos)?;
    let mut elems = Vec::new();
    for attr in nix.entries(nix.force_attrs(args[1], pos)?) {
        let name = nix.symbols.name(attr.name);
        let path = nix.store_dir.parse_path(name).map_err(|_| {
            let text = nix_syntax::written_name(name);
            Error::eval(format!("context key '{text}' is not a store path"), attr.pos())
        })?;
        let uses = nix.force_attrs(attr.value(), attr.pos())?;
        if let Some(value) = uses.value(sym::PATH)
            && nix.force_bool(value, pos)?
        {
            elems.push(ContextElem::Opaque(path.clone()));
        }
        if let Some(value) = uses.value(sym::ALL_OUTPUTS)
            && nix.force_bool(value, pos)?
        {
            if !path.is_derivation() {
                let text = String::from_utf8_lossy(name);
                let message = format!(
                    "tried to add all-outputs context of \"{text}\", which is not a derivation, to a string"
                );
                return Err(Error::eval(message, attr.pos()));
            }
            elems.push(ContextElem::DrvDeep(path.clone()));
        }
        if let Some(outputs) = uses.value(sym::OUTPUTS) {
            let outputs = nix.force_list(outputs, pos)?;
            if !outputs.slots().is_empty() && !path.is_derivation() {
                let text = String::from_utf8_lossy(name);
                let message = format!(
                    "tried to add derivation output context of \"{text}\", which is not a derivation, to a string"
                );
                return Err(Error::eval(message, attr.pos()));
            }
            for output in outputs.items() {
                let output = nix.force_text(output, pos)?.to_owned();
                elems.push(ContextElem::Built { drv: path.clone(), output });
            }
        }
    }
    let ctx = nix.contexts.union(string.ctx, nix.contexts.of_elems(elems));
    Ok(with_context(nix, string.bytes, ctx))
}
