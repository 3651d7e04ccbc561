//! Paths, files and importing.

use std::collections::BTreeSet;

use nix_compat::StoreDir;

use super::Out;
use crate::Evaluator;
use crate::coerce::Coercion;
use crate::context::ContextElem;
use crate::error::{Error, ErrorKind, Result};
use crate::io::{FileType, Ingestion};
use crate::paths::{CORE, base_name, canonical, dir_name, io_error};
use crate::source::{NO_POS, Place, Pos};
use crate::sym;
use crate::value::{Env, PrimOp, Value};

pub(super) static OPS: &[PrimOp] = &[
    PrimOp { name: "baseNameOf", arity: 1, run: base_name_of, lends: 0 },
    PrimOp { name: "dirOf", arity: 1, run: dir_of, lends: 0 },
    PrimOp { name: "filterSource", arity: 2, run: filter_source, lends: 0 },
    PrimOp { name: "findFile", arity: 2, run: find_file, lends: 0 },
    PrimOp { name: "import", arity: 1, run: import, lends: 0 },
    PrimOp { name: "path", arity: 1, run: path, lends: 0 },
    PrimOp { name: "pathExists", arity: 1, run: path_exists, lends: 0 },
    PrimOp { name: "readDir", arity: 1, run: read_dir, lends: 0 },
    PrimOp { name: "readFile", arity: 1, run: read_file, lends: 0 },
    PrimOp { name: "readFileType", arity: 1, run: read_file_type, lends: 0 },
    PrimOp { name: "scopedImport", arity: 2, run: scoped_import, lends: 0 },
    PrimOp { name: "storePath", arity: 1, run: store_path, lends: 0 },
    PrimOp { name: "toFile", arity: 2, run: to_file, lends: 0 },
    PrimOp { name: "toPath", arity: 1, run: to_path, lends: 0 },
];

fn base_name_of<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    if let Value::Path(path) = nix.force(args[0], pos)? {
        return Ok(nix.string(base_name(&nix.logical(path.bytes, pos)?)));
    }
    let (bytes, ctx) = nix.coerce_bytes(args[0], Coercion::APPEND, pos)?;
    Ok(nix.string_with(base_name(&bytes), ctx))
}

fn dir_of<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    if let Value::Path(path) = nix.force(args[0], pos)? {
        return Ok(nix.path_value(dir_name(&nix.logical(path.bytes, pos)?)));
    }
    let (bytes, ctx) = nix.coerce_bytes(args[0], Coercion::APPEND, pos)?;
    Ok(nix.string_with(dir_name(&bytes), ctx))
}

fn to_path<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let (bytes, ctx) = nix.coerce_bytes(args[0], Coercion::APPEND, pos)?;
    if bytes.first() != Some(&b'/') {
        let text = String::from_utf8_lossy(&bytes);
        let message = format!("string '{text}' doesn't represent an absolute path");
        return Err(Error::eval(message, pos));
    }
    Ok(nix.string_with(&canonical(&bytes), ctx))
}

fn import<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let path = nix.coerce_path(args[0], pos)?;
    Ok(match nix.import(&path, pos)? {
        // Each import gives a function of its own, as comparisons can tell.
        Value::Lambda(closure) => {
            let (lambda, env) = (closure.lambda, closure.env);
            Value::Lambda(nix.arena.alloc(crate::value::Closure { lambda, env }))
        }
        value => value,
    })
}

fn scoped_import<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let path = nix.coerce_path(args[1], pos)?;
    let scope = nix.force_attrs(args[0], pos)?;
    let names: Vec<nix_syntax::Symbol> = nix.entries(scope).iter().map(|attr| attr.name).collect();
    let slots = nix.entries(scope).iter().map(|attr| attr.slot);
    let env = Env::new(nix.arena, Some(nix.root_env), slots);
    let file = nix.import_path(&path, pos)?;
    nix.load(&file, Some(&names), env, pos)
}

fn path_exists<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let value = nix.force(args[0], pos)?;
    let wants_dir = match value {
        Value::String(string) => string.bytes.ends_with(b"/") || string.bytes.ends_with(b"/."),
        _ => false,
    };
    let path = nix.coerce_path(value, pos)?;
    // A link that leads nowhere exists, unless a directory is asked for.
    let found = if wants_dir { nix.follow(&path, pos) } else { nix.resolved_parent(&path, pos) };
    let exists = match found.and_then(|path| nix.lstat(&path, pos)) {
        Ok(Some(kind)) => !wants_dir || kind == FileType::Directory,
        Ok(None) => false,
        // What pure evaluation may not see does not exist for it.
        Err(error) if matches!(error.kind(), ErrorKind::Impure | ErrorKind::Io) => false,
        Err(error) => return Err(error),
    };
    Ok(Value::Bool(exists))
}

fn read_file<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let path = nix.coerce_path(args[0], pos)?;
    let path = nix.follow(&path, pos)?;
    let bytes = nix.read_file(&path, pos)?;
    if bytes.contains(&0) {
        let text = String::from_utf8_lossy(&path);
        let message =
            format!("the contents of the file '{text}' cannot be represented as a Nix string");
        return Err(Error::eval(message, pos));
    }
    let mentioned = crate::mentioned::mentioned(nix, &path, &bytes);
    Ok(nix.string_with(&bytes, nix.contexts.of_elems(mentioned.map(ContextElem::Opaque))))
}

fn read_dir<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let path = nix.coerce_path(args[0], pos)?;
    let path = nix.follow(&path, pos)?;
    let entries = nix.read_dir(&path, pos)?.into_iter().map(|(name, kind)| {
        let kind = nix.static_str(kind.name().as_bytes());
        nix.attr(nix.symbols.intern(&name), Place::NONE, kind)
    });
    Ok(nix.attrs_from(entries.collect()))
}

fn read_file_type<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let path = nix.coerce_path(args[0], pos)?;
    match nix.lstat(&path, pos)? {
        Some(kind) => Ok(nix.static_str(kind.name().as_bytes())),
        None => {
            let error = std::io::Error::from(std::io::ErrorKind::NotFound);
            Err(crate::paths::file_error("reading", &path, error, pos))
        }
    }
}

/// The search path as `findFile` takes it.
pub(super) fn nix_path<'a>(nix: &Evaluator<'a>, _: &[Value<'a>], _: Pos) -> Out<'a> {
    if nix.settings.pure {
        return Ok(nix.list_from(&[]));
    }
    let entries: Vec<Value<'a>> = nix
        .settings
        .search_path
        .iter()
        .map(|entry| {
            let (prefix, path) = entry.split_once('=').unwrap_or(("", entry));
            nix.attrs_of([(sym::PATH, nix.string(path)), (sym::PREFIX, nix.string(prefix))])
        })
        .collect();
    Ok(nix.list_from(&entries))
}

fn find_file<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let wanted = nix.force_plain(args[1], pos)?;
    nix.find_in(args[0], wanted, pos).map(|path| nix.path_value(&path))
}

impl<'a> Evaluator<'a> {
    /// The search path as a value.
    pub(crate) fn nix_path_value(&self) -> Value<'a> {
        nix_path(self, &[], NO_POS).unwrap_or_else(|_| self.list_from(&[]))
    }

    /// The directory behind a URL, `channel:NAME` or `flake:REF`.
    pub(crate) fn remote_dir(&self, url: &[u8], pos: Pos) -> Result<Vec<u8>> {
        let text = String::from_utf8_lossy(url);
        let (function, argument) = if let Some(flake) = text.strip_prefix("flake:") {
            ("getFlake", flake.to_owned())
        } else if let Some(channel) = text.strip_prefix("channel:") {
            let channel = channel.trim_start_matches('/');
            ("fetchTarball", format!("https://channels.nixos.org/{channel}/nixexprs.tar.xz"))
        } else {
            ("fetchTarball", text.into_owned())
        };
        let builtins = self.force_attrs(self.builtins_value(), pos)?;
        let function = self.select(builtins, self.symbols.intern(function.as_bytes()), pos)?;
        let found = self.call(function, &[self.string(&argument)], pos)?;
        self.coerce_path(found, pos)
    }

    /// What `wanted` is in a search path: the first entry that has it.
    pub(crate) fn find_in(&self, entries: Value<'a>, wanted: &[u8], pos: Pos) -> Result<Vec<u8>> {
        find_in(self, entries, wanted, pos)
    }
}

/// Whether a path of the search path is something to fetch.
fn is_remote(path: &[u8]) -> bool {
    const SCHEMES: [&[u8]; 7] = [b"http", b"https", b"file", b"channel", b"git", b"s3", b"ssh"];
    path.starts_with(b"channel:")
        || path.starts_with(b"flake:")
        || path
            .windows(3)
            .position(|part| part == b"://")
            .is_some_and(|at| SCHEMES.contains(&&path[..at]))
}

fn find_in<'a>(
    nix: &Evaluator<'a>,
    entries: Value<'a>,
    wanted: &[u8],
    pos: Pos,
) -> Result<Vec<u8>> {
    let entries = nix.force_list(entries, pos)?;
    for entry in entries.items() {
        let entry = nix.force_attrs(entry, pos)?;
        let prefix = match entry.value(sym::PREFIX) {
            Some(prefix) => nix.force_plain(prefix, pos)?,
            None => b"",
        };
        let rest = if prefix.is_empty() {
            wanted
        } else {
            match wanted.strip_prefix(prefix) {
                Some([]) => b"",
                Some([b'/', rest @ ..]) => rest,
                _ => continue,
            }
        };
        let dir = nix.select(entry, sym::PATH, pos)?;
        let (dir, ctx) = nix.coerce_bytes(dir, Coercion::APPEND, pos)?;
        let mut dir = nix.realise(dir, ctx, pos)?;
        if is_remote(&dir) {
            match nix.remote_dir(&dir, pos) {
                Ok(found) => dir = found,
                // The next entry may have it.
                Err(error) => {
                    let text = String::from_utf8_lossy(&dir);
                    nix.io.message(&format!(
                        "warning: Nix search path entry '{text}' cannot be fetched, ignoring: {error}"
                    ));
                    continue;
                }
            }
        }
        let path = nix.in_current_dir(&[&dir, b"/".as_slice(), rest].concat());
        let path = nix.resolved(&path, pos)?;
        if nix.lstat(&path, pos)?.is_some() {
            return Ok(path);
        }
    }
    if let Some(rest) = wanted.strip_prefix(b"nix/") {
        return Ok(canonical(&[CORE, rest].concat()));
    }
    let text = String::from_utf8_lossy(wanted);
    let message = if nix.settings.pure {
        format!("cannot look up '<{text}>' in pure evaluation mode (use '--impure' to override)")
    } else {
        format!("file '{text}' was not found in the Nix search path (add it using $NIX_PATH or -I)")
    };
    Err(Error::new(ErrorKind::Throw, message, pos))
}

fn to_file<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let name = &*String::from_utf8_lossy(nix.force_plain(args[0], pos)?);
    let contents = nix.force_string(args[1], pos)?;
    let mut references = Vec::new();
    for elem in nix.contexts.elems(contents.ctx) {
        match &elem {
            ContextElem::Opaque(path) => references.push(path.clone()),
            other => {
                let text = other.encode(&nix.store_dir);
                let dir = format!("{}/", nix.store_dir.as_str());
                let message = format!(
                    "files created by builtins.toFile may not reference derivations, but {name} references {}",
                    text.replacen(&dir, "", 1)
                );
                return Err(Error::eval(message, pos));
            }
        }
    }
    references.sort();
    if let Some(problem) = crate::drv::name_problem(name) {
        return Err(bad_text_name(nix, name, contents.bytes, &references, &problem, pos));
    }
    let stored =
        nix.io.add_text(name, contents.bytes, &references).map_err(|error| io_error(error, pos))?;
    Ok(nix.stored(stored))
}

/// The error for a text that cannot be stored: it names the path that there would be.
fn bad_text_name(
    nix: &Evaluator<'_>,
    name: &str,
    contents: &[u8],
    references: &[nix_compat::StorePath],
    problem: &str,
    pos: Pos,
) -> Error {
    use nix_compat::{HashAlgorithm, hash_bytes};
    let hash = hash_bytes(HashAlgorithm::Sha256, contents);
    let mut fingerprint = "text".to_owned();
    for reference in references {
        fingerprint += &format!(":{}", nix.store_dir.render_path(reference));
    }
    let hex = super::hash::hex(hash.digest_as_bytes());
    fingerprint += &format!(":sha256:{hex}:{}:{name}", nix.store_dir.as_str());
    let whole = hash_bytes(HashAlgorithm::Sha256, fingerprint.as_bytes());
    let mut digest = [0; 20];
    for (index, byte) in whole.digest_as_bytes().iter().enumerate() {
        digest[index % 20] ^= byte;
    }
    let digest = nix_compat::nix32::encode(&digest);
    let message = format!("path '{digest}-{name}' is not a valid store path: {problem}");
    Error::eval(message, pos)
}

/// What is wrong with the name of a path in the store.
fn store_path_problem(name: &str) -> String {
    let Some((digest, rest)) = name.split_at_checked(32).filter(|(_, rest)| !rest.is_empty())
    else {
        return format!("'{name}' is too short to be a valid store path");
    };
    let odd = |char: &char| !char.is_ascii_digit() && !"abcdfghijklmnpqrsvwxyz".contains(*char);
    if let Some(char) = digest.chars().find(odd) {
        return format!("store path '{name}' contains illegal base-32 character '{char}'");
    }
    let problem = crate::drv::name_problem(rest.strip_prefix('-').unwrap_or(rest));
    let problem = problem.unwrap_or_else(|| "its name is not right".to_owned());
    format!("path '{name}' is not a valid store path: {problem}")
}

fn store_path<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    if nix.settings.pure {
        let message = "'builtins.storePath' is not allowed in pure evaluation mode";
        return Err(Error::new(ErrorKind::Impure, message, pos));
    }
    let (bytes, ctx) = nix.coerce_bytes(args[0], Coercion::APPEND, pos)?;
    let path = canonical(&bytes);
    let root = store_root(&nix.store_dir, &path).ok_or_else(|| {
        let text = String::from_utf8_lossy(&path);
        Error::eval(format!("path '{text}' is not in the Nix store"), pos)
    })?;
    let stored = nix.store_dir.parse_path(root).map_err(|_| {
        let name = String::from_utf8_lossy(base_name(root));
        Error::eval(store_path_problem(&name), pos)
    })?;
    let ctx = nix.contexts.union(ctx, nix.contexts.singleton(&ContextElem::Opaque(stored)));
    Ok(nix.string_with(&path, ctx))
}

/// The store path that `path` is or lies in.
pub(crate) fn store_root<'p>(store: &StoreDir, path: &'p [u8]) -> Option<&'p [u8]> {
    let rest = path.strip_prefix(store.as_str().as_bytes())?.strip_prefix(b"/")?;
    let name = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
    (name > 0).then(|| &path[..store.as_str().len() + 1 + name])
}

impl<'a> Evaluator<'a> {
    /// A store path as a string that depends on it.
    pub(crate) fn stored(&self, path: nix_compat::StorePath) -> Value<'a> {
        let text = self.store_dir.render_path(&path);
        let ctx = self.contexts.singleton(&ContextElem::Opaque(path));
        self.string_with(text.as_bytes(), ctx)
    }

    /// The entries of a tree that a filter function takes, asked from the top down.
    fn filtered(&self, root: &[u8], fun: Value<'a>, pos: Pos) -> Result<BTreeSet<Vec<u8>>> {
        let mut wanted = BTreeSet::new();
        let mut work = vec![root.to_vec()];
        while let Some(dir) = work.pop() {
            if self.lstat(&dir, pos)? != Some(FileType::Directory) {
                continue;
            }
            for (name, kind) in self.read_dir(&dir, pos)? {
                let child = canonical(&[&dir, b"/".as_slice(), &name].concat());
                let (text, _) = self.path_text_for(&child, pos)?;
                let kind_name = self.static_str(kind.name().as_bytes());
                let keep = self.call(fun, &[self.string(&text), kind_name], pos)?;
                if !self.force_bool(keep, pos)? {
                    continue;
                }
                wanted.insert(self.readable(&child, pos)?);
                if kind == FileType::Directory {
                    work.push(child);
                }
            }
        }
        Ok(wanted)
    }
}

/// What a path is called in the store when nobody says otherwise.
fn object_name(path: &[u8]) -> String {
    match base_name(path) {
        b"" => "source".to_owned(),
        name => String::from_utf8_lossy(name).into_owned(),
    }
}

fn filter_source<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let path = nix.coerce_path(args[1], pos)?;
    let fun = nix.force_function(args[0], pos)?;
    let name = object_name(&path);
    let path = nix.resolved(&path, pos)?;
    let wanted = nix.filtered(&path, fun, pos)?;
    let stored = nix.add_path(&name, &path, Ingestion::Recursive, Some(&wanted), pos)?;
    Ok(nix.stored(stored))
}

fn path<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let attrs = nix.force_attrs(args[0], pos)?;
    let (mut path, mut name, mut fun, mut ingestion, mut expected) =
        (None, None, None, Ingestion::Recursive, None);
    for attr in nix.entries(attrs) {
        match attr.name {
            sym::PATH => path = Some(nix.coerce_path(attr.value(), attr.pos())?),
            sym::NAME => name = Some(nix.force_text(attr.value(), attr.pos())?.to_owned()),
            sym::FILTER => fun = Some(nix.force_function(attr.value(), attr.pos())?),
            sym::RECURSIVE => {
                if !nix.force_bool(attr.value(), attr.pos())? {
                    ingestion = Ingestion::Flat;
                }
            }
            sym::SHA256 => {
                let text = nix.force_text(attr.value(), attr.pos())?;
                let sha256 = Some(nix_compat::HashAlgorithm::Sha256);
                expected = Some(nix.hash_or_zeros(text, sha256, attr.pos())?);
            }
            other => {
                let message =
                    format!("unsupported argument '{}' to 'builtins.path'", nix.name(other));
                return Err(Error::eval(message, attr.pos()));
            }
        }
    }
    let Some(path) = path else {
        return Err(Error::eval(
            "missing required 'path' attribute in the first argument to 'builtins.path'",
            pos,
        ));
    };
    // No name and an empty one are the same, as in C++ Nix.
    let name = name.filter(|name: &String| !name.is_empty());
    let name = name.unwrap_or_else(|| object_name(&path));
    let path = nix.resolved(&path, pos)?;
    let wanted = match fun {
        Some(fun) => Some(nix.filtered(&path, fun, pos)?),
        None => None,
    };
    let stored = nix.add_path(&name, &path, ingestion, wanted.as_ref(), pos)?;
    if let Some(hash) = expected {
        let ca = match ingestion {
            Ingestion::Flat => nix_compat::CAHash::Flat(hash),
            Ingestion::Recursive => nix_compat::CAHash::Nar(hash),
        };
        let none = std::iter::empty::<&nix_compat::StorePath>();
        let should = nix
            .store_dir
            .build_ca_path(&name, &ca, none, false)
            .map_err(|error| Error::eval(error.to_string(), pos))?;
        if should != stored {
            let text = String::from_utf8_lossy(&path);
            let message =
                format!("store path mismatch in (possibly filtered) path added from '{text}'");
            return Err(Error::eval(message, pos));
        }
    }
    Ok(nix.stored(stored))
}
