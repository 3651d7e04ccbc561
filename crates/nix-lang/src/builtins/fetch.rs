//! Fetchers: what they take and give; fetching itself is behind [`crate::Io`].

use nix_compat::flake_ref::{
    Attr as RefAttr, Attrs as RefAttrs, FlakeRef, Input, RefError, fix_git_url,
};
use nix_compat::url::Url;
use nix_compat::{CAHash, HashAlgorithm, NixHash};

use super::Out;
use crate::Evaluator;
use crate::error::{Error, ErrorKind, Result};
use crate::flake::{Shown, Source};
use crate::io::FetchRequest;
use crate::paths::io_error;
use crate::source::Pos;
use crate::sym;
use crate::value::{Attrs, PrimOp, Value};
use std::rc::Rc;

pub(super) static OPS: &[PrimOp] = &[
    PrimOp { name: "fetchGit", arity: 1, run: fetch_git, lends: 0 },
    PrimOp { name: "fetchMercurial", arity: 1, run: fetch_mercurial, lends: 0 },
    PrimOp { name: "fetchTarball", arity: 1, run: fetch_tarball, lends: 0 },
    PrimOp { name: "fetchTree", arity: 1, run: fetch_tree, lends: 0 },
    PrimOp { name: "fetchurl", arity: 1, run: fetch_url, lends: 0 },
];

fn wrong(error: RefError, pos: Pos) -> Error {
    Error::eval(error.to_string(), pos)
}

/// What store paths can be called.
fn check_name(name: &str) -> std::result::Result<(), String> {
    let first = name.split('-').next().unwrap_or_default();
    if name.is_empty() {
        return Err("name must not be empty".into());
    }
    if name.len() > 211 {
        return Err(format!("name '{name}' must be no longer than 211 characters"));
    }
    if name == "." || name == ".." {
        return Err(format!("name '{name}' is not valid"));
    }
    if first == "." || first == ".." {
        return Err(format!(
            "name '{name}' is not valid: first dash-separated component must not be '{first}'"
        ));
    }
    let fine = |c: char| c.is_ascii_alphanumeric() || "+-._?=".contains(c);
    match name.chars().find(|c| !fine(*c)) {
        Some(c) => Err(format!("name '{name}' contains illegal character '{c}'")),
        None => Ok(()),
    }
}

/// Whether a URL is another or continues it after a slash.
fn is_below(url: &str, prefix: &str) -> bool {
    let Some(rest) = url.strip_prefix(prefix) else { return false };
    !prefix.is_empty() && (rest.is_empty() || prefix.ends_with(['/', ':']) || rest.starts_with('/'))
}

/// Whether what was downloaded is what was wanted.
fn check_hash(url: &str, wanted: Option<&NixHash>, got: &NixHash, pos: Pos) -> Result<()> {
    match wanted {
        Some(wanted) if wanted != got => {
            let (wanted, got) = (wanted.to_nix_nixbase32_string(), got.to_nix_nixbase32_string());
            let message = format!(
                "hash mismatch in file downloaded from '{url}':\n  specified: {wanted}\n  got:       {got}"
            );
            Err(Error::eval(message, pos))
        }
        _ => Ok(()),
    }
}

impl<'a> Evaluator<'a> {
    /// An error for what restricted evaluation may not fetch.
    fn check_uri(&self, url: &str, pos: Pos) -> Result<()> {
        let allowed = |prefix: &String| is_below(url, prefix);
        if !self.settings.restrict || self.settings.allowed_uris.iter().any(allowed) {
            return Ok(());
        }
        let message = format!("access to URI '{url}' is forbidden in restricted mode");
        Err(Error::new(ErrorKind::Impure, message, pos))
    }

    /// One attribute of a fetcher; nothing for one that is left out.
    fn fetch_attr(&self, fetcher: &str, name: &str, value: Value<'a>, pos: Pos) -> Result<RefAttr> {
        match self.force(value, pos)? {
            value @ (Value::Path(_) | Value::String(_)) => Ok(RefAttr::Text(self.url(value, pos)?)),
            Value::Bool(value) => Ok(RefAttr::Bool(value)),
            Value::Int(number) => u64::try_from(number).map(RefAttr::Int).map_err(|_| {
                let message =
                    format!("negative value given for '{fetcher}' argument '{name}': {number}");
                Error::eval(message, pos)
            }),
            other => {
                let kind = other.described();
                let message = format!(
                    "argument '{name}' to '{fetcher}' is {kind} while a string, Boolean or integer \
                     is expected"
                );
                Err(Error::ty(message, pos))
            }
        }
    }

    /// The text of a URL; a path is the text of where it is.
    fn url(&self, value: Value<'a>, pos: Pos) -> Result<String> {
        let (bytes, ctx) = self.coerce_bytes(value, crate::coerce::Coercion::APPEND, pos)?;
        let bytes = self.realise(bytes, ctx, pos)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn tree_input(&self, value: Value<'a>, git: bool, pos: Pos) -> Result<Input> {
        let fetcher = if git { "fetchGit" } else { "fetchTree" };
        let repository = |text: &str| {
            let url = fix_git_url(text).map_err(|error| Error::eval(error.to_string(), pos))?;
            Ok::<_, Error>(RefAttr::Text(url.to_string()))
        };
        let value = self.force(value, pos)?;
        let mut attrs = RefAttrs::new();
        match value {
            Value::Attrs(all) => {
                let kind = match (all.get(sym::TYPE), git) {
                    (Some(_), true) => {
                        return Err(Error::eval("unexpected argument 'type'", pos));
                    }
                    (Some(attr), false) => self.force_text(attr.value(), attr.pos())?.to_owned(),
                    (None, true) => "git".to_owned(),
                    (None, false) => {
                        let message = format!("argument 'type' is missing in call to '{fetcher}'");
                        return Err(Error::eval(message, pos));
                    }
                };
                attrs.insert("type".into(), RefAttr::Text(kind.clone()));
                for attr in self.sorted(all).into_iter().filter(|attr| attr.name != sym::TYPE) {
                    let name = self.name(attr.name);
                    let mut value = self.fetch_attr(fetcher, &name, attr.value(), attr.pos())?;
                    if let (true, "url", Some(text)) = (git, name.as_str(), value.text()) {
                        value = repository(text)?;
                    }
                    attrs.insert(name, value);
                }
                if kind == "git" && !git {
                    attrs.entry("shallow".into()).or_insert(RefAttr::Bool(true));
                }
                if !git && attrs.contains_key("name") {
                    let message = format!("argument 'name' isn’t supported in call to '{fetcher}'");
                    return Err(Error::eval(message, pos));
                }
            }
            value => {
                let text = self.url(value, pos).map_err(|error| {
                    error.frame(
                        pos,
                        format!("while evaluating the first argument passed to '{fetcher}'"),
                    )
                })?;
                if !git {
                    let url = Url::parse(&text, false);
                    let url = url.map_err(|error| Error::eval(error.to_string(), pos))?;
                    return Input::from_url(&url, true).map_err(|error| wrong(error, pos));
                }
                attrs.insert("type".into(), "git".into());
                attrs.insert("url".into(), repository(&text)?);
            }
        }
        if git && attrs.get("submodules") != Some(&RefAttr::Bool(true)) {
            attrs.entry("exportIgnore".into()).or_insert(RefAttr::Bool(true));
        }
        Input::from_attrs(attrs).map_err(|error| wrong(error, pos))
    }

    /// Fetch what a call of `fetchTree` or `fetchGit` says.
    fn call_fetch(&self, mut input: Input, fetcher: &str, pos: Pos) -> Result<Rc<Source>> {
        if !input.is_direct() && !self.settings.pure {
            let found = FlakeRef { input, dir: String::new() };
            input = self.look_up(&found, true, pos)?.input;
        }
        if self.settings.pure && !input.is_locked() {
            if input.text("narHash").is_none() {
                let message = format!(
                    "in pure evaluation mode, '{fetcher}' doesn't fetch unlocked input '{}'",
                    input.describe()
                );
                return Err(Error::new(ErrorKind::Impure, message, pos));
            }
            self.io.message(&format!(
                "warning: Input '{}' is unlocked (e.g. lacks a Git revision) but is checked by NAR \
                 hash. This is not reproducible and will break after garbage collection or when \
                 shared.",
                input.describe()
            ));
        }
        let url = input.to_url().map_err(|error| wrong(error, pos))?;
        self.check_uri(&url.to_string(), pos)?;
        let request = FetchRequest { input, is_final: false, lazy: false };
        self.fetch_source(&request, pos)
    }

    /// `url`, `name` and hash of `fetchurl` and `fetchTarball`.
    fn download_args(
        &self,
        who: &str,
        value: Value<'a>,
        pos: Pos,
    ) -> Result<(String, Option<String>, Option<NixHash>, bool)> {
        let Value::Attrs(all) = self.force(value, pos)? else {
            return Ok((self.force_text(value, pos)?.to_owned(), None, None, false));
        };
        self.download_attrs(who, all, pos)
    }

    fn download_attrs(
        &self,
        who: &str,
        all: &'a Attrs<'a>,
        pos: Pos,
    ) -> Result<(String, Option<String>, Option<NixHash>, bool)> {
        let (mut url, mut name, mut hash) = (None, None, None);
        for attr in self.sorted(all) {
            match self.name(attr.name).as_str() {
                "url" => url = Some(self.force_text(attr.value(), attr.pos())?.to_owned()),
                "name" => name = Some(self.force_text(attr.value(), attr.pos())?.to_owned()),
                "sha256" => {
                    let text = self.force_text(attr.value(), attr.pos())?;
                    hash = Some(self.expected(text, attr.pos())?);
                }
                other => {
                    let message = format!("unsupported argument '{other}' to '{who}'");
                    return Err(Error::eval(message, pos));
                }
            }
        }
        let url = url.ok_or_else(|| Error::eval("'url' argument required", pos))?;
        Ok((url, name, hash, true))
    }

    fn expected(&self, text: &str, pos: Pos) -> Result<NixHash> {
        if text.is_empty() {
            let zero = NixHash::Sha256([0; 32]).to_sri_string();
            self.io.message(&format!("warning: found empty hash, assuming '{zero}'"));
        }
        nix_compat::hash::parse(text, Some(HashAlgorithm::Sha256)).map_err(|_| {
            let message = format!("hash '{text}' has wrong length for hash algorithm 'sha256'");
            Error::eval(message, pos)
        })
    }

    fn download(&self, who: &str, value: Value<'a>, unpack: bool, pos: Pos) -> Out<'a> {
        let (mut url, name, hash, set) = self.download_args(who, value, pos)?;
        if let (true, Some(channel)) = (unpack, url.strip_prefix("channel:")) {
            url = format!("https://channels.nixos.org/{channel}/nixexprs.tar.xz");
        }
        self.check_uri(&url, pos)?;
        let told = name.is_some();
        let fallback = || match unpack {
            true => "source".to_owned(),
            false => url.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default().to_owned(),
        };
        let name = name.filter(|name| !name.is_empty()).unwrap_or_else(fallback);
        if let Err(reason) = check_name(&name) {
            let help = if told {
                format!(
                    "Please change the value for the 'name' attribute passed to '{who}', so that it can create a valid store path."
                )
            } else if set {
                format!(
                    "Please add a valid 'name' attribute to the argument for '{who}', so that it can create a valid store path."
                )
            } else {
                format!(
                    "Please pass an attribute set with 'url' and 'name' attributes to '{who}',  so that it can create a valid store path."
                )
            };
            let message =
                format!("invalid store path name when fetching URL '{url}': {reason}. {help}");
            return Err(Error::eval(message, pos));
        }
        if self.settings.pure && hash.is_none() {
            let message = format!("in pure evaluation mode, '{who}' requires a 'sha256' argument");
            return Err(Error::new(ErrorKind::Impure, message, pos));
        }
        if let Some(hash) = &hash {
            // What is there already need not be fetched, whatever is at the address by now.
            let ca = match unpack {
                true => CAHash::Nar(hash.clone()),
                false => CAHash::Flat(hash.clone()),
            };
            let none = std::iter::empty::<&nix_compat::StorePath>();
            let path = self
                .store_dir
                .build_ca_path(&name, &ca, none, false)
                .map_err(|error| Error::eval(error.to_string(), pos))?;
            if self.io.is_valid_path(&path).map_err(|error| io_error(error, pos))? {
                return Ok(self.stored(path));
            }
        }
        if !unpack {
            let fetched = self.io.fetch_file(&url, &name, hash.as_ref());
            let (path, got) = fetched.map_err(|error| io_error(error, pos))?;
            check_hash(&url, hash.as_ref(), &got, pos)?;
            return Ok(self.stored(path));
        }
        let mut attrs = RefAttrs::new();
        attrs.insert("type".into(), "tarball".into());
        attrs.insert("url".into(), url.as_str().into());
        attrs.insert("name".into(), name.into());
        let input = Input::from_attrs(attrs).map_err(|error| wrong(error, pos))?;
        let request = FetchRequest { input, is_final: false, lazy: false };
        let source = self.fetch_source(&request, pos)?;
        if let Some(got) = source.input.nar_hash().map_err(|error| wrong(error, pos))? {
            check_hash(&url, hash.as_ref(), &got, pos)?;
        }
        Ok(self.stored(self.source_path(&source, pos)?))
    }
}

fn fetch_git<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let input = nix.tree_input(args[0], true, pos)?;
    let source = nix.call_fetch(input, "fetchGit", pos)?;
    Ok(nix.source_attrs(&source, Shown { empty_rev: true, ..Shown::default() }))
}

fn fetch_tree<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let input = nix.tree_input(args[0], false, pos)?;
    let source = nix.call_fetch(input, "fetchTree", pos)?;
    Ok(nix.source_attrs(&source, Shown::default()))
}

fn fetch_mercurial<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let (mut url, mut attrs) = (String::new(), RefAttrs::new());
    match nix.force(args[0], pos)? {
        Value::Attrs(all) => {
            for attr in nix.sorted(all) {
                match nix.name(attr.name).as_str() {
                    "url" => url = nix.url(attr.value(), attr.pos())?,
                    "rev" => {
                        // A commit, or anything else that Mercurial has names for.
                        let text = nix.force_text(attr.value(), attr.pos())?.to_owned();
                        let kind = if is_commit(&text) { "rev" } else { "ref" };
                        attrs.insert(kind.into(), text.as_str().into());
                    }
                    "name" => {
                        let name = nix.force_text(attr.value(), attr.pos())?.to_owned();
                        attrs.insert("name".into(), name.as_str().into());
                    }
                    other => {
                        let message = format!("unsupported argument '{other}' to 'fetchMercurial'");
                        return Err(Error::eval(message, attr.pos()));
                    }
                }
            }
            if url.is_empty() {
                return Err(Error::eval("'url' argument required", pos));
            }
        }
        other => url = nix.url(other, pos)?,
    }
    nix.check_uri(&url, pos)?;
    if nix.settings.pure && !attrs.contains_key("rev") {
        let message = "in pure evaluation mode, 'fetchMercurial' requires a Mercurial revision";
        return Err(Error::new(ErrorKind::Impure, message, pos));
    }
    if !url.contains("://") {
        url = Url::of_path("file", &url).to_string();
    }
    attrs.insert("url".into(), url.as_str().into());
    attrs.insert("type".into(), "hg".into());
    let input = Input::from_attrs(attrs).map_err(|error| wrong(error, pos))?;
    let request = FetchRequest { input, is_final: false, lazy: false };
    let source = nix.fetch_source(&request, pos)?;
    Ok(nix.mercurial_attrs(&source))
}

/// Whether a name of Mercurial is a whole hash.
fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn fetch_tarball<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    nix.download("fetchTarball", args[0], true, pos)
}

fn fetch_url<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    nix.download("fetchurl", args[0], false, pos)
}

#[cfg(test)]
mod tests {
    #[test]
    fn names() {
        for name in ["a", "a.b", ".a", "..a", "a-.", "x?y=z"] {
            assert_eq!(super::check_name(name), Ok(()), "{name}");
        }
        for name in ["", ".", "..", ".-a", "..-a", "a b", "a/b", &"a".repeat(212)] {
            assert!(super::check_name(name).is_err(), "{name}");
        }
    }
}
