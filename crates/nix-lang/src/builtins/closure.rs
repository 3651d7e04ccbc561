//! `fetchClosure`: store paths out of binary caches.

use super::Out;
use super::path::store_root;
use crate::Evaluator;
use crate::coerce::Coercion;
use crate::error::{Error, Result};
use crate::io::{ClosureForm, ClosureRequest};
use crate::paths::io_error;
use crate::source::Pos;
use crate::value::{PrimOp, Value};
use nix_compat::StorePath;
use nix_compat::url::Url;

pub(super) static OPS: &[PrimOp] =
    &[PrimOp { name: "fetchClosure", arity: 1, run: fetch_closure, lends: 0 }];

fn fetch_closure<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let request = request(nix, args[0], pos).map_err(|error| {
        error.frame(pos, "while evaluating the argument passed to builtins.fetchClosure")
    })?;
    let path = nix.io.fetch_closure(&request).map_err(|error| io_error(error, pos))?;
    // Whoever keeps this answer asks for the path again: a collector may have taken it meanwhile.
    nix.io.is_valid_path(&path).map_err(|error| io_error(error, pos))?;
    Ok(nix.stored(path))
}

fn request<'a>(nix: &Evaluator<'a>, value: Value<'a>, pos: Pos) -> Result<ClosureRequest> {
    let (mut store, mut path, mut to, mut input_addressed) = (None, None, None, None);
    for attr in nix.sorted(nix.force_attrs(value, pos)?) {
        let name = nix.name(attr.name);
        match name.as_str() {
            "fromStore" => store = Some(nix.force_text(attr.value(), attr.pos())?.to_owned()),
            "fromPath" => path = Some(store_path(nix, attr.value(), attr.pos())?),
            "toPath" => to = Some(to_path(nix, attr.value(), attr.pos())?),
            "inputAddressed" => {
                input_addressed = Some(nix.force_bool(attr.value(), attr.pos())?);
            }
            other => {
                let message =
                    format!("attribute '{other}' isn't supported in call to 'fetchClosure'");
                return Err(Error::eval(message, attr.pos()));
            }
        }
    }
    let missing = |name: &str| {
        Error::eval(format!("attribute '{name}' is missing in call to 'fetchClosure'"), pos)
    };
    let path = path.ok_or_else(|| missing("fromPath"))?;
    let form = match (to, input_addressed.unwrap_or(false)) {
        (Some(_), true) => {
            let message = "attribute 'inputAddressed' is set to true, but 'toPath' is also set. \
                           Please remove one of them";
            return Err(Error::eval(message, pos));
        }
        (Some(to), false) => ClosureForm::Rewritten(to),
        (None, true) => ClosureForm::InputAddressed,
        (None, false) => ClosureForm::ContentAddressed,
    };
    let store = store.ok_or_else(|| missing("fromStore"))?;
    let url = Url::parse(&store, true).map_err(|error| Error::eval(error.to_string(), pos))?;
    if !["http", "https"].contains(&url.scheme.as_str()) {
        let message = "'fetchClosure' only supports http:// and https:// stores";
        return Err(Error::eval(message, pos));
    }
    if !url.query.is_empty() {
        let message =
            format!("'fetchClosure' does not support URL query parameters (in '{store}')");
        return Err(Error::eval(message, pos));
    }
    Ok(ClosureRequest { store, path, form })
}

/// Nothing for the empty string: it is not known yet.
fn to_path<'a>(nix: &Evaluator<'a>, value: Value<'a>, pos: Pos) -> Result<Option<StorePath>> {
    let value = nix.force(value, pos)?;
    if let Value::String(text) = value
        && nix.force_string(Value::String(text), pos)?.bytes.is_empty()
    {
        return Ok(None);
    }
    store_path(nix, value, pos).map(Some)
}

/// The whole of a string or path is a store path.
fn store_path<'a>(nix: &Evaluator<'a>, value: Value<'a>, pos: Pos) -> Result<StorePath> {
    let (bytes, _) = nix.coerce_bytes(value, Coercion::APPEND, pos)?;
    let root = store_root(&nix.store_dir, &bytes).filter(|root| root.len() == bytes.len());
    root.and_then(|root| nix.store_dir.parse_path(root).ok()).ok_or_else(|| {
        let text = String::from_utf8_lossy(&bytes);
        Error::eval(format!("path '{text}' is not in the Nix store"), pos)
    })
}
