//! Flakes: inputs fetched only when asked for, trees read where they lie.

mod declared;
mod lock;
mod locking;
mod refs;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use crate::Evaluator;
use crate::context::ContextElem;
use crate::error::{Error, ErrorKind, Result};
use crate::io::{FetchRequest, FileType};
use crate::paths::{Tree, as_path, canonical, dir_name, io_error, is_within};
use crate::source::{NO_POS, Pos};
use crate::sym;
use crate::value::{Attr, Delayed, Native, PrimFn, PrimOp, Value};

use lock::Graph;
use refs::RefAttrs;

/// How the lock file of a flake is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LockMode {
    /// Write what is missing (through [`crate::Io::write_lock`]).
    #[default]
    Write,
    /// Lock what is missing in memory only.
    Memory,
    /// Fail when something is missing.
    Frozen,
}

/// How to evaluate a flake.
#[derive(Clone, Debug, Default)]
pub struct FlakeOptions {
    /// What to do with inputs that the lock file does not have.
    pub lock: LockMode,
    /// Inputs (`name` or `name/of/input`) to take from somewhere else: a reference or directory.
    pub overrides: Vec<(String, String)>,
    /// Take the directory as it is, as `path:` does, also where version control does not track all
    /// of it.
    pub untracked: bool,
}

pub(crate) static OPS: &[PrimOp] = &[
    PrimOp { name: "flakeRefToString", arity: 1, run: flake_ref_to_string },
    PrimOp { name: "getFlake", arity: 1, run: get_flake },
    PrimOp { name: "parseFlakeRef", arity: 1, run: parse_flake_ref },
];

/// Where the source of a node is.
struct Source {
    /// The directory with `flake.nix`.
    dir: Vec<u8>,
    tree: Rc<Tree>,
    info: BTreeMap<String, String>,
}

/// A flake being evaluated.
pub(crate) struct Live<'a> {
    graph: Graph,
    root: Vec<u8>,
    sources: Vec<OnceCell<Rc<Source>>>,
    values: Vec<OnceCell<Value<'a>>>,
}

fn wrong(error: impl std::fmt::Display) -> Error {
    Error::eval(error.to_string(), NO_POS)
}

impl<'a> Evaluator<'a> {
    /// The flake in a directory: its outputs with `inputs`, `outPath` and the rest, as
    /// `builtins.getFlake` gives it.
    ///
    /// # Errors
    ///
    /// When there is no (good) `flake.nix`, or its inputs cannot be locked.
    pub fn flake(&self, dir: impl AsRef<Path>, options: &FlakeOptions) -> Result<Value<'a>> {
        let dir = canonical(dir.as_ref().as_os_str().as_bytes());
        self.load_flake(&dir, options)
            .and_then(|value| self.force(value, NO_POS))
            .map_err(|error| self.finish(error))
    }

    fn load_flake(&self, dir: &[u8], options: &FlakeOptions) -> Result<Value<'a>> {
        if options.untracked && self.tree_of(dir).is_none() {
            self.add_tree(dir, None, None);
        }
        self.local_tree(dir)?;
        let graph = self.lock_flake(dir, options)?;
        let count = graph.nodes.len();
        let live = Rc::new(Live {
            graph,
            root: dir.to_vec(),
            sources: (0..count).map(|_| OnceCell::new()).collect(),
            values: (0..count).map(|_| OnceCell::new()).collect(),
        });
        let mut flakes = self.flakes.borrow_mut();
        // What warm evaluation knows of a flake hangs on its number.
        let known = flakes.iter().position(|known| {
            self.graph.is_some()
                && known.root == live.root
                && known.graph.render() == live.graph.render()
        });
        let index = known.unwrap_or(flakes.len());
        if known.is_none() {
            flakes.push(live);
        }
        drop(flakes);
        Ok(self.node(index, 0))
    }

    /// The tree that a directory belongs to: the whole of a git work tree, or itself.
    fn local_tree(&self, dir: &[u8]) -> Result<Rc<Tree>> {
        if let Some(tree) = self.tree_of(dir) {
            return Ok(tree);
        }
        let mut top = dir;
        loop {
            let git = [top, b"/.git"].concat();
            let there = self.io.file_type(as_path(&git)).unwrap_or(None);
            if there.is_some() {
                break;
            }
            if top == b"/" {
                return Ok(self.add_tree(dir, None, None));
            }
            top = dir_name(top);
        }
        let tracked =
            self.io.tracked_files(as_path(top)).map_err(|error| io_error(error, NO_POS))?;
        Ok(self.add_tree(top, tracked, None))
    }

    fn native(&self, run: PrimFn, args: &[Value<'a>]) -> Value<'a> {
        let args = self.arena.alloc_slice_copy(args);
        self.thunk(Delayed::Native(self.arena.alloc(Native { run, args })))
    }

    fn live(&self, flake: usize) -> Result<Rc<Live<'a>>> {
        let flakes = self.flakes.borrow();
        flakes.get(flake).cloned().ok_or_else(|| wrong("there is no such flake"))
    }

    /// The value of a node, the same one each time.
    fn node(&self, flake: usize, node: usize) -> Value<'a> {
        let args = [Value::Int(flake as i64), Value::Int(node as i64)];
        match self.live(flake) {
            Ok(live) => match live.values.get(node) {
                Some(cell) => *cell.get_or_init(|| self.lasting(node_value, &args)),
                None => self.native(node_value, &args),
            },
            Err(_) => self.native(node_value, &args),
        }
    }

    fn source(&self, live: &Live<'a>, node: usize) -> Result<Rc<Source>> {
        let cell = live.sources.get(node).ok_or_else(|| wrong("there is no such input"))?;
        // Warm evaluation looks again: the directory of an input may be gone.
        if let Some(source) = cell.get()
            && self.graph.is_none()
        {
            return Ok(source.clone());
        }
        let source = Rc::new(self.find_source(live, node)?);
        Ok(cell.get_or_init(|| source).clone())
    }

    fn find_source(&self, live: &Live<'a>, node: usize) -> Result<Source> {
        if node == 0 {
            let tree = self.local_tree(&live.root)?;
            return Ok(Source { dir: live.root.clone(), tree, info: BTreeMap::new() });
        }
        let entry = &live.graph.nodes[node];
        let locked = entry.locked.as_ref().unwrap_or(&entry.original);
        if locked.get("type").map(String::as_str) == Some("path")
            && let Some(path) = locked.get("path")
        {
            let base = match &entry.parent {
                Some(_) => {
                    let parent = live.graph.parent(node).map_err(wrong)?;
                    self.source(live, parent)?.dir.clone()
                }
                None => live.root.clone(),
            };
            return self.path_source(&base, path, locked);
        }
        let mut attrs = locked.clone();
        let sub = attrs.remove("dir").unwrap_or_default();
        let kind = attrs.remove("type").unwrap_or_default();
        let request = FetchRequest { kind, attrs, name: None };
        let fetched = self.fetch(&request, NO_POS).map_err(|error| {
            error.frame(NO_POS, format!("while fetching the input '{}'", refs::render(locked)))
        })?;
        let disk = fetched.disk.clone().unwrap_or_else(|| {
            self.io.physical(as_path(self.store_dir.render_path(&fetched.store_path).as_bytes()))
        });
        let disk = canonical(disk.as_os_str().as_bytes());
        let hash = fetched.nar_hash.clone().map(nix_compat::CAHash::Nar);
        let tree = self.add_tree(&disk, None, Some((fetched.store_path, hash)));
        let dir = canonical(&[&disk, b"/".as_slice(), sub.as_bytes()].concat());
        let mut info = fetched.info;
        for name in ["rev", "lastModified", "narHash", "revCount"] {
            if let Some(value) = locked.get(name) {
                info.entry(name.to_owned()).or_insert_with(|| value.clone());
            }
        }
        Ok(Source { dir, tree, info })
    }

    fn path_source(&self, base: &[u8], path: &str, locked: &RefAttrs) -> Result<Source> {
        let path = if path.starts_with('/') {
            canonical(path.as_bytes())
        } else {
            canonical(&[base, b"/", path.as_bytes()].concat())
        };
        let mut info = locked.clone();
        info.retain(|name, _| matches!(name.as_str(), "narHash" | "lastModified" | "rev"));
        let tree = self.local_tree(&path)?;
        let sub = locked.get("dir").map(String::as_str).unwrap_or_default();
        let dir = canonical(&[&path, b"/".as_slice(), sub.as_bytes()].concat());
        if self.lstat(&dir, NO_POS)? != Some(FileType::Directory) {
            let text = String::from_utf8_lossy(&dir);
            return Err(Error::new(
                ErrorKind::Io,
                format!(
                    "the input '{}' is not there: '{text}' is not a directory",
                    refs::render(locked)
                ),
                NO_POS,
            ));
        }
        // A directory of a tree that is already known is not a tree of its own.
        debug_assert!(is_within(&dir, &tree.disk));
        Ok(Source { dir, tree, info })
    }

    /// What expressions learn about a source.
    fn source_info(&self, flake: usize, node: usize, source: &Source) -> Value<'a> {
        let args = [Value::Int(flake as i64), Value::Int(node as i64)];
        let modified = source.info.get("lastModified").and_then(|text| text.parse().ok());
        let modified: i64 = modified.unwrap_or(0);
        let mut entries = vec![
            (sym::OUT_PATH, self.native(out_path, &args)),
            (sym::NAR_HASH, self.native(nar_hash, &args)),
            (sym::LAST_MODIFIED, Value::Int(modified)),
            (sym::LAST_MODIFIED_DATE, self.string(date(modified))),
        ];
        if let Some(rev) = source.info.get("rev") {
            entries.push((self.symbols.intern(b"rev"), self.string(rev)));
            let short = rev.get(..7).unwrap_or(rev);
            entries.push((self.symbols.intern(b"shortRev"), self.string(short)));
        }
        let entries = entries.into_iter().map(|(name, value)| Attr { name, pos: NO_POS, value });
        self.attrs_from(entries.collect())
    }
}

/// `lastModifiedDate`: `20251122190850`.
fn date(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 1970 to a date: eras of 400 years, years that begin in March.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}{:02}{:02}{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

fn node_args<'a>(
    nix: &Evaluator<'a>,
    args: &[Value<'a>],
) -> Result<(usize, usize, Rc<Live<'a>>, Rc<Source>)> {
    let (Some(Value::Int(flake)), Some(Value::Int(node))) = (args.first(), args.get(1)) else {
        return Err(wrong("not a flake"));
    };
    let (flake, node) = (*flake as usize, *node as usize);
    let live = nix.live(flake)?;
    let source = nix.source(&live, node)?;
    Ok((flake, node, live, source))
}

fn out_path<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
    let (_, _, _, source) = node_args(nix, args)?;
    let (stored, _) = nix.store_tree(&source.tree, pos)?;
    let mut text = nix.store_dir.render_path(&stored).into_bytes();
    text.extend_from_slice(&source.dir[source.tree.disk.len()..]);
    let ctx = nix.contexts.singleton(ContextElem::Opaque(stored));
    Ok(nix.string_with(&text, ctx))
}

fn nar_hash<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
    let (_, _, _, source) = node_args(nix, args)?;
    if let Some(hash) = source.info.get("narHash") {
        return Ok(nix.string(hash));
    }
    match nix.store_tree(&source.tree, pos)?.1 {
        Some(nix_compat::CAHash::Nar(hash)) => Ok(nix.string(hash.to_sri_string())),
        _ => Err(Error::eval("the hash of this source is not known", pos)),
    }
}

/// The flake (or plain source) of a node.
fn node_value<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
    let (flake, node, live, source) = node_args(nix, args)?;
    let info = nix.source_info(flake, node, &source);
    let entry = &live.graph.nodes[node];
    if !entry.flake {
        return Ok(info);
    }
    let attrs = nix.read_flake(&source.dir)?;
    let mut inputs = Vec::new();
    for (name, edge) in &entry.inputs {
        let target = live.graph.follow(edge).map_err(wrong)?;
        let name = nix.symbols.intern(name.as_bytes());
        inputs.push(Attr { name, pos: NO_POS, value: nix.node(flake, target) });
    }
    let plain = nix.attrs_from(inputs.clone());
    inputs.push(Attr { name: sym::SELF, pos: NO_POS, value: nix.node(flake, node) });
    let function = nix.select(attrs, sym::OUTPUTS, pos)?;
    let outputs = nix.call(function, &[nix.attrs_from(inputs)], pos)?;
    let outputs_attrs = nix.force_attrs(outputs, pos)?;
    let extra = nix.attrs_of([
        (sym::INPUTS, plain),
        (sym::OUTPUTS, outputs),
        (sym::SOURCE_INFO, info),
        (sym::UNDERSCORE_TYPE, nix.string("flake")),
    ]);
    let info = nix.force_attrs(info, pos)?;
    let extra = nix.force_attrs(extra, pos)?;
    Ok(Value::Attrs(nix.update(nix.update(outputs_attrs, info), extra)))
}

fn ref_value<'a>(nix: &Evaluator<'a>, found: &RefAttrs) -> Value<'a> {
    nix.set(found.iter().map(|(name, value)| (name, nix.string(value))))
}

fn parse_flake_ref<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
    let text = nix.force_text(args[0], pos)?;
    let found = refs::parse(text).map_err(|error| Error::eval(error, pos))?;
    Ok(ref_value(nix, &found))
}

fn flake_ref_to_string<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
    let mut found = RefAttrs::new();
    for attr in nix.force_attrs(args[0], pos)?.entries {
        let text = match nix.force(attr.value, attr.pos)? {
            Value::Int(number) => number.to_string(),
            Value::Bool(value) => u8::from(value).to_string(),
            other => nix.force_string(other, attr.pos)?.text(),
        };
        found.insert(nix.name(attr.name), text);
    }
    Ok(nix.string(refs::render(&found)))
}

fn get_flake<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
    let text = match nix.force(args[0], pos)? {
        Value::Path(path) => String::from_utf8_lossy(path.bytes).into_owned(),
        other => nix.force_string(other, pos)?.text(),
    };
    let found = refs::parse(&text).map_err(|error| Error::eval(error, pos))?;
    let dir = match (found.get("type").map(String::as_str), found.get("path")) {
        (Some("path"), Some(path)) if path.starts_with('/') => {
            nix.readable(&canonical(path.as_bytes()), pos)?
        }
        (Some("path"), _) => {
            return Err(Error::eval(format!("'{text}' is not an absolute path"), pos));
        }
        _ => {
            let mut attrs = found.clone();
            let kind = attrs.remove("type").unwrap_or_default();
            let sub = attrs.remove("dir").unwrap_or_default();
            let fetched = nix.fetch(&FetchRequest { kind, attrs, name: None }, pos)?;
            let root = nix.store_dir.render_path(&fetched.store_path);
            let disk = fetched.disk.clone().unwrap_or_else(|| nix.io.physical(Path::new(&root)));
            let disk = canonical(disk.as_os_str().as_bytes());
            nix.add_tree(&disk, None, Some((fetched.store_path, None)));
            canonical(&[&disk, b"/".as_slice(), sub.as_bytes()].concat())
        }
    };
    let options = FlakeOptions { lock: LockMode::Memory, ..FlakeOptions::default() };
    let value = nix.load_flake(&dir, &options)?;
    nix.force(value, pos)
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates() {
        assert_eq!(super::date(0), "19700101000000");
        assert_eq!(super::date(1_763_838_530), "20251122190850");
        assert_eq!(super::date(951_782_400), "20000229000000");
    }
}
