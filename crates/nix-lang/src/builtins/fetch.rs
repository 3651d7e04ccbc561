//! Fetchers: through [`crate::Io::fetch`], results kept per evaluation.

use std::collections::BTreeMap;

use super::Out;
use crate::Evaluator;
use crate::error::{Error, ErrorKind, Result};
use crate::io::{FetchRequest, Fetched};
use crate::paths::io_error;
use crate::source::{NO_POS, Pos};
use crate::value::{Attr, PrimOp, Value};

pub(super) static OPS: &[PrimOp] = &[
    PrimOp { name: "fetchGit", arity: 1, run: fetch_git },
    PrimOp { name: "fetchMercurial", arity: 1, run: fetch_mercurial },
    PrimOp { name: "fetchTarball", arity: 1, run: fetch_tarball },
    PrimOp { name: "fetchTree", arity: 1, run: fetch_tree },
    PrimOp { name: "fetchurl", arity: 1, run: fetch_url },
    PrimOp { name: "fetchClosure", arity: 1, run: fetch_closure },
];

impl<'a> Evaluator<'a> {
    /// The text of a fetcher's attribute, whatever its type.
    fn fetch_attrs(&self, value: Value<'a>, pos: Pos) -> Result<BTreeMap<String, String>> {
        let mut found = BTreeMap::new();
        match self.force(value, pos)? {
            Value::Attrs(attrs) => {
                for attr in attrs.entries {
                    let value = self.force(attr.value, attr.pos)?;
                    let text = match value {
                        Value::Bool(value) => value.to_string(),
                        Value::Int(number) => number.to_string(),
                        Value::Null => continue,
                        Value::Path(path) => String::from_utf8_lossy(path.bytes).into_owned(),
                        other => self.force_string(other, attr.pos)?.text(),
                    };
                    found.insert(self.name(attr.name), text);
                }
            }
            Value::Path(path) => {
                found.insert("url".to_owned(), String::from_utf8_lossy(path.bytes).into_owned());
            }
            other => {
                found.insert("url".to_owned(), self.force_string(other, pos)?.text());
            }
        }
        Ok(found)
    }

    pub(crate) fn fetch(&self, request: &FetchRequest, pos: Pos) -> Result<Fetched> {
        let locked = ["narHash", "rev", "sha256", "hash"]
            .iter()
            .any(|name| request.attrs.contains_key(*name));
        if self.settings.pure && !locked {
            let message = format!(
                "in pure evaluation mode, '{}' requires a hash or a revision",
                request.kind
            );
            return Err(Error::new(ErrorKind::Impure, message, pos));
        }
        self.io.fetch(request).map_err(|error| io_error(error, pos))
    }

    /// What a fetched tree looks like to expressions.
    pub(crate) fn fetched_attrs(&self, fetched: &Fetched) -> Value<'a> {
        let mut entries = Vec::new();
        let mut add = |name: &str, value| {
            let name = self.symbols.intern(name.as_bytes());
            entries.push(Attr { name, pos: NO_POS, value });
        };
        for (name, text) in &fetched.info {
            let value = match text.parse::<i64>() {
                Ok(number) if matches!(name.as_str(), "lastModified" | "revCount") => {
                    Value::Int(number)
                }
                _ => self.string(text),
            };
            add(name, value);
        }
        if let Some(hash) = &fetched.nar_hash {
            add("narHash", self.string(hash.to_sri_string()));
        }
        add("outPath", self.stored(fetched.store_path.clone()));
        self.attrs_from(entries)
    }

    fn fetch_kind(&self, kind: &str, value: Value<'a>, pos: Pos) -> Result<Fetched> {
        let mut attrs = self.fetch_attrs(value, pos)?;
        let name = attrs.remove("name");
        let kind = attrs.remove("type").unwrap_or_else(|| kind.to_owned());
        self.fetch(&FetchRequest { kind, attrs, name }, pos)
    }
}

fn fetch_git<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let fetched = nix.fetch_kind("git", args[0], pos)?;
    Ok(nix.fetched_attrs(&fetched))
}

fn fetch_mercurial<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let fetched = nix.fetch_kind("hg", args[0], pos)?;
    Ok(nix.fetched_attrs(&fetched))
}

fn fetch_tree<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let fetched = nix.fetch_kind("tarball", args[0], pos)?;
    Ok(nix.fetched_attrs(&fetched))
}

fn fetch_tarball<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let fetched = nix.fetch_kind("tarball", args[0], pos)?;
    Ok(nix.stored(fetched.store_path))
}

fn fetch_url<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let fetched = nix.fetch_kind("file", args[0], pos)?;
    Ok(nix.stored(fetched.store_path))
}

fn fetch_closure<'a>(_: &Evaluator<'a>, _: &[Value<'a>], pos: Pos) -> Out<'a> {
    let message = "'builtins.fetchClosure' is not supported yet in this version";
    Err(Error::new(ErrorKind::Unsupported, message, pos))
}
