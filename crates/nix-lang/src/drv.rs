//! `derivationStrict`: from attributes to a derivation and its paths.

use std::collections::{BTreeMap, BTreeSet};

use nix_compat::{
    CAHash, ContentAddressMethod, Derivation, DerivationBuilder, HashAlgorithm, InputDerivation,
    InputDerivationHash, NixHash, Output, StorePath, StructuredAttrs, path,
};

use crate::Evaluator;
use crate::builtins::{hash_algorithm, parse_hash};
use crate::coerce::Coercion;
use crate::context::{ContextElem, Ctx};
use crate::error::{Error, Result};
use crate::paths::io_error;
use crate::source::{NO_POS, Pos};
use crate::sym;
use crate::value::{Attr, Attrs, PrimOp, Value};

pub(crate) static OPS: &[PrimOp] = &[
    PrimOp { name: "derivationStrict", arity: 1, run: derivation_strict },
    PrimOp { name: "outputOf", arity: 2, run: output_of },
    PrimOp { name: "placeholder", arity: 1, run: placeholder },
];

fn placeholder<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
    let output = nix.force_text(args[0], pos)?;
    Ok(nix.string(path::hash_placeholder(output)))
}

fn output_of<'a>(_: &Evaluator<'a>, _: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
    let message = "'builtins.outputOf' needs dynamic derivations, which are not supported yet in this version";
    Err(Error::new(crate::ErrorKind::Unsupported, message, pos))
}

fn derivation_strict<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
    let attrs = nix.force_attrs(args[0], pos)?;
    let name_attr = attrs
        .get(sym::NAME)
        .ok_or_else(|| Error::eval("required attribute 'name' missing", pos))?;
    let name = nix.force_text(name_attr.value, name_attr.pos).map_err(|error| {
        error.frame(
            name_attr.pos,
            "while evaluating the `name` attribute passed to builtins.derivationStrict",
        )
    })?;
    nix.make_derivation(name, attrs, pos).map_err(|error| {
        error.frame(name_attr.pos, format!("while evaluating the derivation '{name}'"))
    })
}

/// What the attributes of a derivation say.
#[derive(Default)]
struct Parts {
    ctx: Option<Ctx>,
    builder: Option<String>,
    system: Option<String>,
    args: Vec<String>,
    env: BTreeMap<String, Vec<u8>>,
    json: Option<Vec<(String, Vec<u8>)>>,
    outputs: Vec<String>,
    hash: Option<String>,
    hash_algo: Option<HashAlgorithm>,
    hash_mode: Option<ContentAddressMethod>,
}

impl<'a> Evaluator<'a> {
    fn make_derivation(&self, name: &str, attrs: &'a Attrs<'a>, pos: Pos) -> Result<Value<'a>> {
        if name.ends_with(".drv") {
            let message = format!("derivation names are not allowed to end in '.drv': '{name}'");
            return Err(Error::eval(message, pos));
        }
        let parts = self.derivation_parts(attrs)?;
        let builder = parts
            .builder
            .ok_or_else(|| Error::eval("required attribute 'builder' missing", pos))?;
        let system =
            parts.system.ok_or_else(|| Error::eval("required attribute 'system' missing", pos))?;
        let mut drv =
            DerivationBuilder::new_in_store(self.store_dir.clone(), name, system, builder);
        *drv.arguments_mut() = parts.args;
        *drv.environment_mut() = parts.env;
        if let Some(json) = parts.json {
            let mut text = b"{".to_vec();
            for (index, (name, value)) in json.iter().enumerate() {
                if index > 0 {
                    text.push(b',');
                }
                text.extend_from_slice(
                    serde_json::Value::from(name.as_str()).to_string().as_bytes(),
                );
                text.push(b':');
                text.extend_from_slice(value);
            }
            text.push(b'}');
            let attrs = StructuredAttrs::from_json_bytes(text)
                .map_err(|error| Error::eval(error.to_string(), pos))?;
            *drv.structured_attrs_mut() = Some(attrs);
        }
        self.add_inputs(&mut drv, parts.ctx.unwrap_or(Ctx::NONE), pos)?;
        if let Some(hash) = &parts.hash {
            let [output] = parts.outputs.as_slice() else {
                let message = "multiple outputs are not supported in fixed-output derivations";
                return Err(Error::eval(message, pos));
            };
            let ca = fixed_hash(hash, parts.hash_algo, parts.hash_mode, pos)?;
            drv.outputs_mut().insert(output.clone(), Output::Fixed { ca });
        } else {
            for output in parts.outputs {
                let drv_outputs = drv.outputs_mut();
                // The path is filled in once the hash of the inputs is known.
                if drv_outputs.insert(output.clone(), Output::Deferred).is_some() {
                    return Err(Error::eval(
                        format!("duplicate derivation output '{output}'"),
                        pos,
                    ));
                }
            }
        }
        let built =
            drv.try_build_with_input_hashes(|path| self.drv_hash(path, pos)).map_err(|error| {
                match error {
                    nix_compat::InputResolutionError::Resolve { error, .. } => error,
                    other => Error::eval(other.to_string(), pos),
                }
            })?;
        self.finish_derivation(built.into_derivation(), pos)
    }

    fn finish_derivation(&self, drv: Derivation, pos: Pos) -> Result<Value<'a>> {
        let wrong = |error: nix_compat::DerivationError| Error::eval(error.to_string(), pos);
        let path = drv.drv_path().map_err(wrong)?;
        let hash = drv
            .try_hash_input_derivation_modulo(|path| self.drv_hash(path, pos))
            .map_err(|error| Error::eval(error.to_string(), pos))?;
        self.drv_hashes.borrow_mut().insert(path.clone(), hash);
        self.io.add_derivation(&path, &drv).map_err(|error| io_error(error, pos))?;
        let deep = self.contexts.singleton(ContextElem::DrvDeep(path.clone()));
        let text = self.store_dir.render_path(&path);
        let mut entries = vec![Attr {
            name: sym::DRV_PATH,
            pos: NO_POS,
            value: self.string_with(text.as_bytes(), deep),
        }];
        for (name, output) in drv.resolved_outputs().map_err(wrong)? {
            let elem = ContextElem::Built { drv: path.clone(), output: name.clone() };
            let text = match &output.path {
                Some(path) => self.store_dir.render_path(path),
                None => path::downstream_placeholder(&path, [&name])
                    .map_err(|error| Error::eval(error.to_string(), pos))?,
            };
            entries.push(Attr {
                name: self.symbols.intern(name.as_bytes()),
                pos: NO_POS,
                value: self.string_with(text.as_bytes(), self.contexts.singleton(elem)),
            });
        }
        Ok(self.attrs_from(entries))
    }

    fn derivation_parts(&self, attrs: &'a Attrs<'a>) -> Result<Parts> {
        let flag = |name| match attrs.get(name) {
            Some(attr) => self.force_bool(attr.value, attr.pos),
            None => Ok(false),
        };
        let ignore_nulls = flag(sym::IGNORE_NULLS)?;
        for name in [sym::CONTENT_ADDRESSED, sym::IMPURE] {
            if flag(name)? {
                let message = format!(
                    "'{}' derivations are not supported yet in this version",
                    self.name(name)
                );
                return Err(Error::new(crate::ErrorKind::Unsupported, message, NO_POS));
            }
        }
        let mut parts = Parts::default();
        if flag(sym::STRUCTURED)? {
            parts.json = Some(Vec::new());
        }
        let mut ctx = Ctx::NONE;
        for attr in self.sorted(attrs) {
            if matches!(attr.name, sym::IGNORE_NULLS | sym::CONTENT_ADDRESSED | sym::IMPURE) {
                continue;
            }
            let name = self.name(attr.name);
            if ignore_nulls && matches!(self.force(attr.value, attr.pos)?, Value::Null) {
                continue;
            }
            self.derivation_attr(&mut parts, &mut ctx, &name, &attr).map_err(|error| {
                error.frame(attr.pos, format!("while evaluating the attribute '{name}'"))
            })?;
        }
        parts.ctx = Some(ctx);
        if parts.outputs.is_empty() {
            if attrs.get(sym::OUTPUTS).is_some() {
                let message = "derivation cannot have an empty set of outputs";
                return Err(Error::eval(message, NO_POS));
            }
            parts.outputs.push("out".to_owned());
        }
        Ok(parts)
    }

    fn derivation_attr(
        &self,
        parts: &mut Parts,
        ctx: &mut Ctx,
        name: &str,
        attr: &Attr<'a>,
    ) -> Result<()> {
        let pos = attr.pos;
        if attr.name == sym::ARGS {
            for item in self.force_list(attr.value, pos)?.items {
                let mut bytes = Vec::new();
                self.coerce_into(*item, &mut bytes, ctx, Coercion::ENVIRONMENT, pos)?;
                parts.args.push(utf8(bytes, pos)?);
            }
            return Ok(());
        }
        if let Some(json) = &mut parts.json {
            if attr.name == sym::STRUCTURED {
                return Ok(());
            }
            let mut text = Vec::new();
            self.write_json(attr.value, &mut text, ctx, pos)?;
            json.push((name.to_owned(), text));
            let special = matches!(
                attr.name,
                sym::BUILDER
                    | sym::SYSTEM
                    | sym::OUTPUT_HASH
                    | sym::OUTPUT_HASH_ALGO
                    | sym::OUTPUT_HASH_MODE
            );
            if special {
                let text = self.force_string(attr.value, pos)?;
                *ctx = self.contexts.union(*ctx, text.ctx);
                return set_special(parts, attr.name, utf8(text.bytes.to_vec(), pos)?, pos);
            }
            if attr.name == sym::OUTPUTS {
                for output in self.force_list(attr.value, pos)?.items {
                    let output = self.force_text(*output, pos)?;
                    add_output(&mut parts.outputs, output, pos)?;
                }
            }
            return Ok(());
        }
        let mut bytes = Vec::new();
        self.coerce_into(attr.value, &mut bytes, ctx, Coercion::ENVIRONMENT, pos)?;
        if attr.name == sym::OUTPUTS {
            let text = utf8(bytes.clone(), pos)?;
            for output in text.split_ascii_whitespace() {
                add_output(&mut parts.outputs, output, pos)?;
            }
        } else {
            let special = matches!(
                attr.name,
                sym::BUILDER
                    | sym::SYSTEM
                    | sym::OUTPUT_HASH
                    | sym::OUTPUT_HASH_ALGO
                    | sym::OUTPUT_HASH_MODE
            );
            if special {
                set_special(parts, attr.name, utf8(bytes.clone(), pos)?, pos)?;
            }
        }
        parts.env.insert(name.to_owned(), bytes);
        Ok(())
    }

    fn add_inputs(&self, drv: &mut DerivationBuilder, ctx: Ctx, pos: Pos) -> Result<()> {
        let mut outputs: BTreeMap<StorePath, BTreeSet<String>> = BTreeMap::new();
        for elem in self.contexts.elems(ctx) {
            match &*elem {
                ContextElem::Opaque(path) => {
                    drv.input_sources_mut().insert(path.clone());
                }
                ContextElem::Built { drv, output } => {
                    outputs.entry(drv.clone()).or_default().insert(output.clone());
                }
                ContextElem::DrvDeep(path) => {
                    self.add_deep(path, drv.input_sources_mut(), &mut outputs, pos)?;
                }
            }
        }
        for (path, outputs) in outputs {
            drv.input_derivations_mut().insert(path, InputDerivation::new(outputs));
        }
        Ok(())
    }

    /// A derivation with all it is made from: every file and every output.
    fn add_deep(
        &self,
        root: &StorePath,
        sources: &mut BTreeSet<StorePath>,
        outputs: &mut BTreeMap<StorePath, BTreeSet<String>>,
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
                continue;
            }
            let drv = self.io.read_derivation(&path).map_err(|error| io_error(error, pos))?;
            outputs.entry(path).or_default().extend(drv.outputs().keys().cloned());
            work.extend(drv.input_sources().iter().cloned());
            work.extend(drv.input_derivations().keys().cloned());
        }
        Ok(())
    }

    /// The identity of a derivation as an input, computed once.
    fn drv_hash(&self, path: &StorePath, pos: Pos) -> Result<InputDerivationHash> {
        if let Some(hash) = self.drv_hashes.borrow().get(path) {
            return Ok(*hash);
        }
        self.check_stack(pos)?;
        let drv = self.io.read_derivation(path).map_err(|error| io_error(error, pos))?;
        let hash = drv.try_hash_input_derivation_modulo(|path| self.drv_hash(path, pos)).map_err(
            |error| match error {
                nix_compat::InputResolutionError::Resolve { error, .. } => error,
                other => Error::eval(other.to_string(), pos),
            },
        )?;
        self.drv_hashes.borrow_mut().insert(path.clone(), hash);
        Ok(hash)
    }
}

fn utf8(bytes: Vec<u8>, pos: Pos) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        Error::eval(format!("'{text}' is not valid UTF-8"), pos)
    })
}

fn add_output(outputs: &mut Vec<String>, output: &str, pos: Pos) -> Result<()> {
    if outputs.iter().any(|known| known == output) {
        return Err(Error::eval(format!("duplicate derivation output '{output}'"), pos));
    }
    if output == "drv" || output == "drvPath" {
        return Err(Error::eval(format!("invalid derivation output name '{output}'"), pos));
    }
    outputs.push(output.to_owned());
    Ok(())
}

fn set_special(parts: &mut Parts, name: nix_syntax::Symbol, text: String, pos: Pos) -> Result<()> {
    match name {
        sym::BUILDER => parts.builder = Some(text),
        sym::SYSTEM => parts.system = Some(text),
        sym::OUTPUT_HASH => parts.hash = Some(text),
        sym::OUTPUT_HASH_ALGO if text.is_empty() => {}
        sym::OUTPUT_HASH_ALGO => parts.hash_algo = Some(hash_algorithm(&text, pos)?),
        _ => {
            parts.hash_mode = Some(match text.as_str() {
                "flat" => ContentAddressMethod::Flat,
                "recursive" | "nar" => ContentAddressMethod::Nar,
                "text" => ContentAddressMethod::Text,
                "git" => ContentAddressMethod::Git,
                other => {
                    let message = format!("invalid value '{other}' for 'outputHashMode' attribute");
                    return Err(Error::eval(message, pos));
                }
            });
        }
    }
    Ok(())
}

fn fixed_hash(
    text: &str,
    algorithm: Option<HashAlgorithm>,
    method: Option<ContentAddressMethod>,
    pos: Pos,
) -> Result<CAHash> {
    let hash = if text.is_empty() {
        // Nix takes an empty hash as one of zeros, so that a build tells the right one.
        let algorithm = algorithm.unwrap_or(HashAlgorithm::Sha256);
        let zeros = vec![0; nix_compat::hash_bytes(algorithm, b"").digest_as_bytes().len()];
        NixHash::from_algorithm_and_digest(algorithm, &zeros)
            .map_err(|error| Error::eval(error.to_string(), pos))?
    } else {
        parse_hash(text, algorithm, pos)?
    };
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
