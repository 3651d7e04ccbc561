//! `derivationStrict`: from attributes to a derivation and its paths.

use std::collections::{BTreeMap, BTreeSet};

use nix_compat::{
    CAHash, ContentAddressMethod, Derivation, HashAlgorithm, InputDerivation, InputDerivationHash,
    Made, NixHash, Output, StorePath, StructuredAttrs, hash_modulo, make, path,
};

use crate::Evaluator;
use crate::builtins::parse_hash;
use crate::coerce::Coercion;
use crate::context::{ContextElem, Ctx, Gathered};
use crate::error::{Error, Result};
use crate::paths::io_error;
use crate::source::{Place, Pos};
use crate::sym;
use crate::value::{Attr, Attrs, PrimOp, Value};

pub(crate) static OPS: &[PrimOp] = &[
    PrimOp { name: "derivationStrict", arity: 1, run: derivation_strict, lends: 0b1 },
    PrimOp { name: "placeholder", arity: 1, run: placeholder, lends: 0 },
];

fn placeholder<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
    let output = nix.force_text(args[0], pos)?;
    Ok(nix.string(path::hash_placeholder(output)))
}

fn derivation_strict<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
    let attrs = nix.force_attrs(args[0], pos)?;
    let name_attr = nix.need(attrs, sym::NAME, pos)?;
    let name = nix.force_text(name_attr.value(), name_attr.pos()).map_err(|error| {
        error.frame(
            name_attr.pos(),
            "while evaluating the `name` attribute passed to builtins.derivationStrict",
        )
    })?;
    nix.make_derivation(name, attrs, pos).map_err(|error| {
        error.frame(name_attr.pos(), format!("while evaluating the derivation '{name}'"))
    })
}

/// What is wrong with the name of a store object.
pub(crate) fn name_problem(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("name must not be empty".to_owned());
    }
    if name.len() > nix_compat::path::MAX_NAME_LEN {
        let most = nix_compat::path::MAX_NAME_LEN;
        return Some(format!("name '{name}' must be no longer than {most} characters"));
    }
    let first = name.split('-').next().unwrap_or_default();
    if matches!(first, "." | "..") {
        return Some(if first == name {
            format!("name '{name}' is not valid")
        } else {
            format!(
                "name '{name}' is not valid: first dash-separated component must not be '{first}'"
            )
        });
    }
    let wrong =
        name.chars().find(|char| !char.is_ascii_alphanumeric() && !"+-._?=".contains(*char))?;
    Some(format!("name '{name}' contains illegal character '{wrong}'"))
}

/// What the attributes of a derivation say.
#[derive(Default)]
struct Parts {
    ctx: Ctx,
    builder: Vec<u8>,
    system: Vec<u8>,
    args: Vec<Vec<u8>>,
    env: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Structured attributes, or the text of `__json`.
    json: Option<Vec<(String, Vec<u8>)>>,
    json_text: Option<Vec<u8>>,
    outputs: Option<Vec<String>>,
    hash: Option<String>,
    hash_algo: Option<HashAlgorithm>,
    hash_mode: Option<ContentAddressMethod>,
    floating: bool,
    impure: bool,
}

/// What is asked of an input, while it is gathered.
#[derive(Default)]
struct Asked {
    outputs: BTreeSet<String>,
    below: BTreeMap<String, Asked>,
}

impl Asked {
    /// Asks for the last of a chain of outputs.
    fn add(&mut self, chain: &[String]) {
        match chain {
            [] => {}
            [output] => drop(self.outputs.insert(output.clone())),
            [first, rest @ ..] => self.below.entry(first.clone()).or_default().add(rest),
        }
    }

    fn finish(self) -> std::result::Result<InputDerivation, nix_compat::DerivationError> {
        let mut input = InputDerivation::new(self.outputs);
        for (output, below) in self.below {
            input.insert_dynamic_output(output, below.finish()?)?;
        }
        Ok(input)
    }
}

impl<'a> Evaluator<'a> {
    /// An error unless the experimental feature is on.
    pub(crate) fn require(&self, feature: &str, what: &str, pos: Pos) -> Result<()> {
        if self.has_feature(feature) {
            return Ok(());
        }
        let message = format!(
            "experimental Nix feature '{feature}' is disabled{what}; add '--extra-experimental-features {feature}' to enable it"
        );
        Err(Error::new(crate::ErrorKind::Unsupported, message, pos))
    }

    fn has_feature(&self, feature: &str) -> bool {
        self.settings.features.iter().any(|known| known == feature)
    }

    fn make_derivation(&self, name: &str, attrs: &'a Attrs<'a>, pos: Pos) -> Result<Value<'a>> {
        if let Some(problem) = name_problem(name) {
            let message =
                format!("invalid derivation name: {problem}. Please pass a different 'name'.");
            return Err(Error::eval(message, pos));
        }
        let parts = self.derivation_parts(name, attrs)?;
        for (what, text) in [("builder", &parts.builder), ("system", &parts.system)] {
            if text.is_empty() {
                return Err(Error::eval(format!("required attribute '{what}' missing"), pos));
            }
        }
        let outputs = parts.outputs.unwrap_or_else(|| vec!["out".to_owned()]);
        let only_out = matches!(outputs.as_slice(), [output] if output == "out");
        let text = parts.hash_mode == Some(ContentAddressMethod::Text);
        if name.ends_with(".drv") && !(text && only_out) {
            let message = "derivation names are allowed to end in '.drv' only if they produce a single derivation file";
            return Err(Error::eval(message, pos));
        }
        let mut drv =
            Derivation::new_in_store(self.store_dir.clone(), name, parts.system, parts.builder);
        *drv.arguments_mut() = parts.args;
        *drv.environment_mut() = parts.env;
        let json = parts.json.map(|json| object(&json)).or(parts.json_text);
        if let Some(text) = json {
            let attrs = StructuredAttrs::from_json_bytes(text)
                .map_err(|error| Error::eval(error.to_string(), pos))?;
            *drv.structured_attrs_mut() = Some(attrs);
        }
        self.add_inputs(&mut drv, parts.ctx, pos)?;
        if let Some(hash) = &parts.hash {
            if !only_out {
                let message = "multiple outputs are not supported in fixed-output derivations";
                return Err(Error::eval(message, pos));
            }
            let ca = self.fixed_hash(hash, parts.hash_algo, parts.hash_mode, pos)?;
            drv.outputs_mut().insert("out".to_owned(), Output::Fixed { ca });
        } else if parts.floating || parts.impure {
            if parts.floating && parts.impure {
                let message = "derivation cannot be both content-addressed and impure";
                return Err(Error::eval(message, pos));
            }
            let hash_algorithm = parts.hash_algo.unwrap_or(HashAlgorithm::Sha256);
            let method = parts.hash_mode.unwrap_or(ContentAddressMethod::Nar);
            for output in outputs {
                let placeholder = path::hash_placeholder(&output).into_bytes();
                drv.environment_mut().insert(output.clone().into(), placeholder);
                let kind = if parts.impure {
                    Output::Impure { method, hash_algorithm }
                } else {
                    Output::Floating { method, hash_algorithm }
                };
                drv.outputs_mut().insert(output, kind);
            }
        } else {
            // The paths are filled in once the hash of the inputs is known. Until then the
            // variables of the outputs are empty, whatever attributes of their names say.
            let variables = outputs.iter().map(|name| (name.clone().into(), Vec::new()));
            drv.environment_mut().extend(variables);
            drv.outputs_mut().extend(outputs.into_iter().map(|output| (output, Output::Deferred)));
        }
        let made = make(drv, |path| self.drv_hash(path, pos)).map_err(|error| match error {
            nix_compat::InputResolutionError::Resolve { error, .. } => error,
            other => Error::eval(other.to_string(), pos),
        })?;
        self.finish_derivation(made, pos)
    }

    fn finish_derivation(&self, made: Made, pos: Pos) -> Result<Value<'a>> {
        let Made { path, text, hash, outputs } = made;
        self.contexts.note_derivation(&path, hash);
        self.io.add_derivation(&path, text).map_err(|error| io_error(error, pos))?;
        let deep = self.contexts.singleton(&ContextElem::DrvDeep(path.clone()));
        let text = self.store_dir.render_path(&path);
        let drv_path = self.string_with(text.as_bytes(), deep);
        let mut entries = vec![self.attr(sym::DRV_PATH, Place::NONE, drv_path)];
        for (name, output) in outputs {
            let elem = ContextElem::Built { drv: path.clone(), output: name.clone() };
            let text = match &output {
                Some(path) => self.store_dir.render_path(path),
                None => path::downstream_placeholder(&path, &[&name]),
            };
            let value = self.string_with(text.as_bytes(), self.contexts.singleton(&elem));
            entries.push(self.attr(self.symbols.intern(name.as_bytes()), Place::NONE, value));
        }
        Ok(self.attrs_from(entries))
    }

    fn derivation_parts(&self, drv_name: &str, attrs: &'a Attrs<'a>) -> Result<Parts> {
        let flag = |name| match attrs.get(name) {
            Some(attr) => self.force_bool(attr.value(), attr.pos()),
            None => Ok(false),
        };
        let mut parts = Parts::default();
        if flag(sym::STRUCTURED)? {
            parts.json = Some(Vec::new());
        }
        let ignore_nulls = flag(sym::IGNORE_NULLS)?;
        let mut ctx = Gathered::new();
        for attr in self.sorted(attrs) {
            if attr.name == sym::IGNORE_NULLS {
                continue;
            }
            let name = self.symbols.name(attr.name);
            let named = |error: Error| {
                let name = String::from_utf8_lossy(name);
                let text =
                    format!("while evaluating attribute '{name}' of derivation '{drv_name}'");
                error.frame(attr.pos(), text)
            };
            if ignore_nulls
                && matches!(self.force(attr.value(), attr.pos()).map_err(named)?, Value::Null)
            {
                continue;
            }
            self.derivation_attr(&mut parts, &mut ctx, drv_name, name, &attr).map_err(named)?;
        }
        parts.ctx = self.contexts.sum(&ctx);
        Ok(parts)
    }

    fn derivation_attr(
        &self,
        parts: &mut Parts,
        ctx: &mut Gathered,
        drv_name: &str,
        name: &[u8],
        attr: &Attr<'a>,
    ) -> Result<()> {
        let pos = attr.pos();
        match attr.name {
            sym::CONTENT_ADDRESSED => {
                parts.floating = self.force_bool(attr.value(), pos)?;
                return if parts.floating {
                    self.require("ca-derivations", "", pos)
                } else {
                    Ok(())
                };
            }
            sym::IMPURE => {
                parts.impure = self.force_bool(attr.value(), pos)?;
                return if parts.impure {
                    self.require("impure-derivations", "", pos)
                } else {
                    Ok(())
                };
            }
            sym::ARGS => {
                for item in self.force_list(attr.value(), pos)?.items() {
                    let mut bytes = Vec::new();
                    self.coerce_into(item, &mut bytes, ctx, Coercion::ENVIRONMENT, pos)?;
                    parts.args.push(bytes);
                }
                return Ok(());
            }
            _ => {}
        }
        let special = matches!(
            attr.name,
            sym::BUILDER
                | sym::SYSTEM
                | sym::OUTPUT_HASH
                | sym::OUTPUT_HASH_ALGO
                | sym::OUTPUT_HASH_MODE
        );
        if let Some(json) = &mut parts.json {
            if attr.name == sym::STRUCTURED {
                return Ok(());
            }
            let mut text = Vec::new();
            self.write_json(attr.value(), true, &mut text, ctx, pos)?;
            json.push((utf8(name, pos)?.to_owned(), text));
            if attr.name == sym::BUILDER {
                let text = self.force_string(attr.value(), pos)?;
                ctx.add(text.ctx);
                parts.builder = text.bytes.to_vec();
            } else if special {
                let text = self.force_text(attr.value(), pos)?;
                self.set_special(parts, attr.name, text.as_bytes(), drv_name, pos)?;
            } else if attr.name == sym::OUTPUTS {
                let mut outputs = Vec::new();
                for output in self.force_list(attr.value(), pos)?.items() {
                    outputs.push(self.force_text(output, pos)?.to_owned());
                }
                parts.outputs = Some(checked_outputs(outputs, pos)?);
            }
            return Ok(());
        }
        let mut buffer = self.buffer();
        self.coerce_into(attr.value(), &mut buffer, ctx, Coercion::ENVIRONMENT, pos)?;
        let bytes = buffer.as_slice().to_vec();
        self.give_buffer(buffer);
        if attr.name == sym::JSON {
            self.read_json(&bytes, pos).map_err(|error| {
                let text = format!("cannot process __json attribute: {}", error.message());
                Error::eval(text, pos)
            })?;
            self.io.message(&format!(
                "warning: In derivation '{drv_name}': setting structured attributes via '__json' is deprecated, and may be disallowed in future versions of Nix. Set '__structuredAttrs = true' instead."
            ));
            parts.json_text = Some(bytes);
            return Ok(());
        }
        if attr.name == sym::OUTPUTS {
            let text = utf8(&bytes, pos)?;
            let outputs = text.split_ascii_whitespace().map(str::to_owned).collect();
            parts.outputs = Some(checked_outputs(outputs, pos)?);
        } else if special {
            self.set_special(parts, attr.name, &bytes, drv_name, pos)?;
        }
        parts.env.insert(name.to_owned(), bytes);
        Ok(())
    }

    fn set_special(
        &self,
        parts: &mut Parts,
        name: nix_syntax::Symbol,
        text: &[u8],
        drv_name: &str,
        pos: Pos,
    ) -> Result<()> {
        match name {
            sym::BUILDER => parts.builder = text.to_vec(),
            sym::SYSTEM => parts.system = text.to_vec(),
            sym::OUTPUT_HASH => parts.hash = Some(utf8(text, pos)?.to_owned()),
            // One that nobody knows counts as none.
            sym::OUTPUT_HASH_ALGO => parts.hash_algo = utf8(text, pos)?.parse().ok(),
            _ => {
                parts.hash_mode = Some(match utf8(text, pos)? {
                    "flat" => ContentAddressMethod::Flat,
                    "recursive" | "nar" => ContentAddressMethod::Nar,
                    "text" => {
                        let what = format!(
                            " (text-hashed derivation '{drv_name}', outputHashMode = \"text\")"
                        );
                        self.require("dynamic-derivations", &what, pos)?;
                        ContentAddressMethod::Text
                    }
                    "git" => {
                        self.require("git-hashing", "", pos)?;
                        ContentAddressMethod::Git
                    }
                    other => {
                        let message =
                            format!("invalid value '{other}' for 'outputHashMode' attribute");
                        return Err(Error::eval(message, pos));
                    }
                });
            }
        }
        Ok(())
    }

    fn fixed_hash(
        &self,
        text: &str,
        algorithm: Option<HashAlgorithm>,
        method: Option<ContentAddressMethod>,
        pos: Pos,
    ) -> Result<CAHash> {
        let hash = self.hash_or_zeros(text, algorithm, pos)?;
        Ok(match (method.unwrap_or(ContentAddressMethod::Flat), hash) {
            (ContentAddressMethod::Flat, hash) => CAHash::Flat(hash),
            (ContentAddressMethod::Nar, hash) => CAHash::Nar(hash),
            (ContentAddressMethod::Git, hash) => CAHash::Git(hash),
            (ContentAddressMethod::Text, NixHash::Sha256(digest)) => CAHash::Text(digest),
            (ContentAddressMethod::Text, _) => {
                return Err(Error::eval("text hashing needs sha256", pos));
            }
        })
    }

    /// A hash as it was written; an empty one is taken as zeros, so that a build tells the right one.
    pub(crate) fn hash_or_zeros(
        &self,
        text: &str,
        algorithm: Option<HashAlgorithm>,
        pos: Pos,
    ) -> Result<NixHash> {
        if !text.is_empty() {
            return parse_hash(text, algorithm, pos);
        }
        let algorithm = algorithm
            .ok_or_else(|| Error::eval("empty hash requires explicit hash algorithm", pos))?;
        let zeros = vec![0; nix_compat::hash_bytes(algorithm, b"").digest_as_bytes().len()];
        let hash = NixHash::from_algorithm_and_digest(algorithm, &zeros)
            .map_err(|error| Error::eval(error.to_string(), pos))?;
        self.io.message(&format!("warning: found empty hash, assuming '{}'", hash.to_sri_string()));
        Ok(hash)
    }

    fn add_inputs(&self, drv: &mut Derivation, ctx: Ctx, pos: Pos) -> Result<()> {
        let mut outputs: BTreeMap<StorePath, Asked> = BTreeMap::new();
        for elem in self.contexts.elems(ctx) {
            match &elem {
                ContextElem::Opaque(path) => {
                    drv.input_sources_mut().insert(path.clone());
                }
                ContextElem::Built { drv, output } => {
                    outputs.entry(drv.clone()).or_default().outputs.insert(output.clone());
                }
                ContextElem::Dynamic { drv, outputs: chain } => {
                    // Deeper than `nix-derivation` takes it would also be deep for the stack.
                    if chain.len() > 200 {
                        return Err(Error::eval("derivations are nested too deeply", pos));
                    }
                    outputs.entry(drv.clone()).or_default().add(chain);
                }
                ContextElem::DrvDeep(path) => {
                    self.add_deep(path, drv.input_sources_mut(), &mut outputs, pos)?;
                }
            }
        }
        for (path, asked) in outputs {
            let input = asked.finish().map_err(|error| Error::eval(error.to_string(), pos))?;
            drv.input_derivations_mut().insert(path, input);
        }
        Ok(())
    }

    /// A derivation with all it is made from: every file and every output.
    fn add_deep(
        &self,
        root: &StorePath,
        sources: &mut BTreeSet<StorePath>,
        outputs: &mut BTreeMap<StorePath, Asked>,
        pos: Pos,
    ) -> Result<()> {
        let mut seen = BTreeSet::new();
        let mut work = vec![root.clone()];
        while let Some(path) = work.pop() {
            if !seen.insert(path.clone()) {
                continue;
            }
            sources.insert(path.clone());
            if !path.is_derivation() {
                work.extend(self.io.references(&path).map_err(|error| io_error(error, pos))?);
                continue;
            }
            let drv = self.io.read_derivation(&path).map_err(|error| io_error(error, pos))?;
            outputs.entry(path).or_default().outputs.extend(drv.outputs().keys().cloned());
            work.extend(drv.input_sources().iter().cloned());
            work.extend(drv.input_derivations().keys().cloned());
        }
        Ok(())
    }

    /// The identity of a derivation as an input, computed once.
    fn drv_hash(&self, path: &StorePath, pos: Pos) -> Result<InputDerivationHash> {
        if let Some(hash) = self.contexts.derivation_hash(path) {
            return Ok(hash);
        }
        self.check_stack(pos)?;
        let drv = self.io.read_derivation(path).map_err(|error| io_error(error, pos))?;
        let hash =
            hash_modulo(&drv, |path| self.drv_hash(path, pos)).map_err(|error| match error {
                nix_compat::InputResolutionError::Resolve { error, .. } => error,
                other => Error::eval(other.to_string(), pos),
            })?;
        self.contexts.note_derivation(path, hash);
        Ok(hash)
    }
}

fn utf8(bytes: &[u8], pos: Pos) -> Result<&str> {
    str::from_utf8(bytes).map_err(|_| {
        let text = String::from_utf8_lossy(bytes);
        Error::eval(format!("'{text}' is not valid UTF-8"), pos)
    })
}

fn checked_outputs(outputs: Vec<String>, pos: Pos) -> Result<Vec<String>> {
    for (index, output) in outputs.iter().enumerate() {
        if outputs[..index].contains(output) {
            return Err(Error::eval(format!("duplicate derivation output '{output}'"), pos));
        }
        if output == "drvPath" {
            return Err(Error::eval("invalid derivation output name 'drvPath'", pos));
        }
    }
    if outputs.is_empty() {
        return Err(Error::eval("derivation cannot have an empty set of outputs", pos));
    }
    Ok(outputs)
}

/// A JSON object of values that are JSON already.
fn object(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut text = b"{".to_vec();
    for (index, (name, value)) in entries.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        text.extend_from_slice(serde_json::Value::from(name.as_str()).to_string().as_bytes());
        text.push(b':');
        text.extend_from_slice(value);
    }
    text.push(b'}');
    text
}
