//! `outputOf`: outputs of derivations that are outputs themselves.

use nix_compat::{StorePath, path};

use super::Out;
use crate::Evaluator;
use crate::context::ContextElem;
use crate::error::{Error, Result};
use crate::paths::io_error;
use crate::source::{NO_POS, Pos};
use crate::value::{PrimOp, Value};

pub(super) static OPS: &[PrimOp] =
    &[PrimOp { name: "outputOf", arity: 2, run: output_of, lends: 0 }];

fn output_of<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let drv = derivation(nix, args[0], pos).map_err(|error| {
        error.frame(pos, "while evaluating the first argument to builtins.outputOf")
    })?;
    let output = nix.force_text(args[1], pos).map_err(|error| {
        error.frame(pos, "while evaluating the second argument to builtins.outputOf")
    })?;
    let Some(elem) = drv.output(output) else { return Err(whole_closure("", pos)) };
    let text = text_of(nix, &elem, pos)?;
    Ok(nix.string_with(text.as_bytes(), nix.contexts.singleton(&elem)))
}

fn whole_closure(text: &str, pos: Pos) -> Error {
    let message = format!(
        "string '{text}' has a context which refers to a complete source and binary closure. This is not supported at this time"
    );
    Error::eval(message, pos)
}

impl<'a> Evaluator<'a> {
    /// What a string as a whole stands for: a path of the store, or an output; nothing where the value
    /// is no string.
    ///
    /// # Errors
    /// When evaluation fails, or the string is not only the text of one such thing.
    pub fn text_stands_for(&self, value: Value<'a>) -> Result<Option<ContextElem>> {
        let value = self.force_value(value)?;
        if !matches!(value, Value::String(_)) {
            return Ok(None);
        }
        derivation(self, value, NO_POS).map(Some).map_err(|error| self.finish(error))
    }
}

/// What a string stands for: the one element of its context, if it is the text of that.
fn derivation<'a>(nix: &Evaluator<'a>, value: Value<'a>, pos: Pos) -> Result<ContextElem> {
    let string = nix.force_string(value, pos)?;
    let text = string.text();
    let elems = nix.contexts.elems(string.ctx);
    let [elem] = elems.as_slice() else {
        let message = format!(
            "string '{text}' has {} entries in its context. It should only have exactly one entry",
            elems.len()
        );
        return Err(Error::eval(message, pos));
    };
    if let ContextElem::DrvDeep(_) = elem {
        return Err(whole_closure(&text, pos));
    }
    let expected = text_of(nix, elem, pos)?;
    if string.bytes == expected.as_bytes() {
        return Ok(elem.clone());
    }
    let (whole, output) = match elem {
        ContextElem::Opaque(_) | ContextElem::DrvDeep(_) => {
            let message =
                format!("path string '{text}' has context with the different path '{expected}'");
            return Err(Error::eval(message, pos));
        }
        ContextElem::Built { output, .. } => (elem.to_installable(&nix.store_dir), output.clone()),
        ContextElem::Dynamic { outputs, .. } => {
            (elem.to_installable(&nix.store_dir), outputs.last().cloned().unwrap_or_default())
        }
    };
    let drv = whole.strip_suffix(&format!("^{output}")).unwrap_or(&whole);
    let message = format!(
        "string '{text}' has context with the output '{output}' from derivation '{drv}', but the string is not the right placeholder for this derivation output. It should be '{expected}'"
    );
    Err(Error::eval(message, pos))
}

/// The string that stands for an element: a path as far as it is known, else a placeholder.
fn text_of(nix: &Evaluator<'_>, elem: &ContextElem, pos: Pos) -> Result<String> {
    let placeholder = |drv, outputs: &[String]| {
        nix.require("ca-derivations", "", pos)?;
        Ok(path::downstream_placeholder(drv, outputs))
    };
    match elem {
        ContextElem::Opaque(path) | ContextElem::DrvDeep(path) => {
            Ok(nix.store_dir.render_path(path))
        }
        ContextElem::Built { drv, output } => match known_output(nix, drv, output, pos)? {
            Some(path) => Ok(nix.store_dir.render_path(&path)),
            None => placeholder(drv, std::slice::from_ref(output)),
        },
        ContextElem::Dynamic { drv, outputs } => placeholder(drv, outputs),
    }
}

/// Where an output is going to be, if that is known without building it.
fn known_output(
    nix: &Evaluator<'_>,
    drv: &StorePath,
    output: &str,
    pos: Pos,
) -> Result<Option<StorePath>> {
    let read = nix.io.read_derivation(drv).map_err(|error| io_error(error, pos))?;
    let outputs = read.resolved_outputs().map_err(|error| Error::eval(error.to_string(), pos))?;
    match outputs.get(output) {
        Some(output) => Ok(output.path.clone()),
        None => {
            let drv = nix.store_dir.render_path(drv);
            let message = format!("derivation '{drv}' does not have output '{output}'");
            Err(Error::eval(message, pos))
        }
    }
}

/// The derivation that a chain of outputs leads to, where nothing has to be built for it.
pub(super) fn made_by(
    nix: &Evaluator<'_>,
    drv: &StorePath,
    outputs: &[String],
    pos: Pos,
) -> Result<StorePath> {
    let mut at = drv.clone();
    for output in outputs {
        at = known_output(nix, &at, output, pos)?.ok_or_else(|| {
            let drv = nix.store_dir.render_path(&at);
            let message =
                format!("cannot operate on output '{output}' of the unbuilt derivation '{drv}'");
            Error::eval(message, pos)
        })?;
    }
    Ok(at)
}
