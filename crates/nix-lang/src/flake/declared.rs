//! What a `flake.nix` says: its shape and the inputs it declares.

use std::collections::BTreeMap;

use super::refs::{self, RefAttrs};
use crate::Evaluator;
use crate::error::{Error, ErrorKind, Result};
use crate::io::FileType;
use crate::source::NO_POS;
use crate::sym;
use crate::value::{Attrs, Value};

/// An input as declared.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub(super) reference: Option<RefAttrs>,
    pub(super) follows: Option<Vec<String>>,
    pub(super) flake: bool,
    /// What this flake says about the inputs of that input.
    pub(super) inputs: BTreeMap<String, Declared>,
}

impl<'a> Evaluator<'a> {
    /// The attributes of the `flake.nix` in a directory, its shape checked.
    pub(super) fn read_flake(&self, dir: &[u8]) -> Result<&'a Attrs<'a>> {
        let file = [dir, b"/flake.nix"].concat();
        if self.lstat(&file, NO_POS)? != Some(FileType::Regular) {
            let text = String::from_utf8_lossy(dir);
            let message = format!("'{text}' is not a flake: it has no 'flake.nix'");
            let error = Error::new(ErrorKind::Io, message, NO_POS);
            let on_disk = self.io.file_type(crate::paths::as_path(&file)).unwrap_or(None);
            return Err(match on_disk {
                Some(_) => error.hint("git does not track 'flake.nix': `git add` it"),
                None => error,
            });
        }
        let value = self.import(&file, NO_POS)?;
        let Value::Attrs(attrs) = value else {
            return Err(self.wrong_type("a set (the flake)", value, NO_POS));
        };
        for attr in attrs.entries {
            match attr.name {
                sym::DESCRIPTION => {
                    self.force_string(attr.value, attr.pos)?;
                }
                sym::INPUTS | sym::OUTPUTS | sym::NIX_CONFIG => {}
                other => {
                    let message =
                        format!("the flake has an unsupported attribute '{}'", self.name(other));
                    let help = "a flake has description, inputs, outputs and nixConfig";
                    return Err(Error::eval(message, attr.pos).hint(help));
                }
            }
        }
        let Some(outputs) = attrs.get(sym::OUTPUTS) else {
            let text = String::from_utf8_lossy(&file);
            return Err(Error::eval(format!("'{text}' lacks the attribute 'outputs'"), NO_POS));
        };
        self.force_function(outputs.value, outputs.pos)?;
        Ok(attrs)
    }

    /// The inputs a flake declares, with those that only its `outputs` function names.
    pub(super) fn declared_inputs(&self, dir: &[u8]) -> Result<BTreeMap<String, Declared>> {
        let attrs = self.read_flake(dir)?;
        let mut inputs = match attrs.get(sym::INPUTS) {
            Some(attr) => self.declared_set(attr.value)?,
            None => BTreeMap::new(),
        };
        let outputs = self.select(attrs, sym::OUTPUTS, NO_POS)?;
        if let Value::Lambda(closure) = outputs {
            for formal in closure.lambda.formals.iter().flat_map(|formals| formals.list) {
                let name = self.name(formal.name);
                if formal.name == sym::SELF || inputs.contains_key(&name) {
                    continue;
                }
                let reference = refs::parse(&format!("flake:{name}")).ok();
                let declared =
                    Declared { reference, follows: None, flake: true, inputs: BTreeMap::new() };
                inputs.insert(name, declared);
            }
        }
        Ok(inputs)
    }

    fn declared_set(&self, value: Value<'a>) -> Result<BTreeMap<String, Declared>> {
        let mut found = BTreeMap::new();
        for attr in self.force_attrs(value, NO_POS)?.entries {
            let name = self.name(attr.name);
            let declared = self.declared(&name, attr.value).map_err(|error| {
                error.frame(attr.pos, format!("while reading the input '{name}'"))
            })?;
            found.insert(name, declared);
        }
        Ok(found)
    }

    fn declared(&self, name: &str, value: Value<'a>) -> Result<Declared> {
        let mut declared =
            Declared { reference: None, follows: None, flake: true, inputs: BTreeMap::new() };
        let mut parts = RefAttrs::new();
        for attr in self.force_attrs(value, NO_POS)?.entries {
            let pos = attr.pos;
            match attr.name {
                sym::URL => {
                    let text = match self.force(attr.value, pos)? {
                        Value::Path(path) => String::from_utf8_lossy(path.bytes).into_owned(),
                        other => self.force_string(other, pos)?.text(),
                    };
                    let reference = refs::parse(&text).map_err(|error| Error::eval(error, pos))?;
                    declared.reference = Some(reference);
                }
                sym::FLAKE => declared.flake = self.force_bool(attr.value, pos)?,
                sym::FOLLOWS => {
                    let text = self.force_string(attr.value, pos)?.text();
                    declared.follows = Some(split_path(&text));
                }
                sym::INPUTS => declared.inputs = self.declared_set(attr.value)?,
                other => {
                    let text = match self.force(attr.value, pos)? {
                        Value::Int(number) => number.to_string(),
                        Value::Bool(value) => value.to_string(),
                        value => self.force_string(value, pos)?.text(),
                    };
                    parts.insert(self.name(other), text);
                }
            }
        }
        if !parts.is_empty() {
            match &mut declared.reference {
                Some(reference) => reference.extend(parts),
                None if parts.contains_key("type") => declared.reference = Some(parts),
                None => {
                    return Err(Error::eval(format!("the input '{name}' has no 'type'"), NO_POS));
                }
            }
        }
        if declared.reference.is_none() && declared.follows.is_none() {
            declared.reference = refs::parse(&format!("flake:{name}")).ok();
        }
        Ok(declared)
    }
}

pub(super) fn split_path(text: &str) -> Vec<String> {
    text.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}
