//! Kernel modules: what each says of itself, and in which order some of them are loaded.

use super::elf;
use crate::compress::{Format, all};
use crate::error::{Context, Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// No module is larger unpacked.
const MAX: u64 = 128 << 20;

/// What a module says of itself in `.modinfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Modules it does not load without.
    pub depends: Vec<String>,
    /// Modules, or aliases, it would like to be there before it.
    pub before: Vec<String>,
    /// Other names of it.
    pub aliases: Vec<String>,
}

impl Info {
    /// Of a module's bytes.
    ///
    /// # Errors
    /// What is wrong with them, and where.
    pub fn parse(bytes: &[u8]) -> Result<Self, elf::Wrong> {
        let section = elf::section(bytes, ".modinfo")?
            .ok_or_else(|| (0, "no section .modinfo: not a kernel module".to_owned()))?;
        let mut info = Self::default();
        let words =
            |v: &str| v.split([',', ' ']).filter(|w| !w.is_empty()).map(name).collect::<Vec<_>>();
        for line in section.split(|b| *b == 0) {
            let line = String::from_utf8_lossy(line);
            match line.split_once('=') {
                Some(("depends", value)) => info.depends.extend(words(value)),
                Some(("alias", value)) => info.aliases.push(name(value)),
                Some(("softdep", value)) => {
                    let before = value.split("post:").next().unwrap_or("");
                    info.before.extend(words(before.trim_start_matches("pre:")));
                }
                _ => {}
            }
        }
        Ok(info)
    }
}

/// The kernel takes `-` and `_` for the same.
fn name(text: &str) -> String {
    text.replace('-', "_")
}

/// All modules of one kernel.
#[derive(Clone, Debug, Default)]
pub struct Modules {
    root: PathBuf,
    /// Path below the root and what it says, by name.
    by_name: BTreeMap<String, (String, Info)>,
    built_in: BTreeSet<String>,
}

/// One module to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Its name.
    pub name: String,
    /// Whether the machine does without where it does not load.
    pub may_fail: bool,
}

impl Modules {
    /// Reads `lib/modules/VERSION`.
    ///
    /// # Errors
    /// When a module is damaged.
    pub fn read(root: &Path) -> Result<Self> {
        let mut found = Self { root: root.into(), ..Self::default() };
        let list = root.join("modules.builtin");
        if list.exists() {
            let text = std::fs::read_to_string(&list).on("read", &list)?;
            found.built_in = text.lines().filter_map(stem).collect();
        }
        let mut todo = vec![PathBuf::new()];
        while let Some(dir) = todo.pop() {
            let at = root.join(&dir);
            for entry in std::fs::read_dir(&at).on("list", &at)? {
                let entry = entry.on("list", &at)?;
                let path = dir.join(entry.file_name());
                if entry.file_type().on("look at", &entry.path())?.is_dir() {
                    todo.push(path);
                } else if let Some(name) = path.to_str().and_then(stem) {
                    let info = Info::parse(&bytes(&entry.path())?)
                        .map_err(|(byte, why)| damaged(&path, byte, why))?;
                    found.by_name.insert(name, (path.to_string_lossy().into_owned(), info));
                }
            }
        }
        Ok(found)
    }

    /// The bytes of a module, decompressed.
    ///
    /// # Errors
    /// When there is none of that name, or it is damaged.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.by_name.get(name).map_or(name, |(path, _)| path);
        bytes(&self.root.join(path))
    }

    /// `modules.dep` as depmod writes it: a module, and behind it all it needs, nearest first.
    ///
    /// # Errors
    /// When modules depend on each other in a circle.
    pub fn dep(&self) -> Result<String> {
        let mut lines = Vec::with_capacity(self.by_name.len());
        for (name, (path, info)) in &self.by_name {
            let mut order = Vec::new();
            for needed in &info.depends {
                self.add(needed, false, false, &mut vec![name.clone()], &mut order)?;
            }
            let needed = order.iter().rev().map(|load| self.by_name[&load.name].0.as_str());
            lines.push(format!("{path}:{}\n", needed.map(|p| format!(" {p}")).collect::<String>()));
        }
        lines.sort_unstable();
        Ok(lines.concat())
    }

    /// The modules to load for `wanted`, what each needs before it. One of `wanted` that begins with
    /// `-` need not be there.
    ///
    /// # Errors
    /// When one is neither there nor built in.
    pub fn order(&self, wanted: &[&str]) -> Result<Vec<Load>> {
        let mut order = Vec::new();
        for wanted in wanted {
            let (may_fail, wanted) = match wanted.strip_prefix('-') {
                Some(name) => (true, name),
                None => (false, *wanted),
            };
            self.add(&name(wanted), may_fail, true, &mut Vec::new(), &mut order)?;
        }
        Ok(order)
    }

    fn add(
        &self,
        name: &str,
        may_fail: bool,
        soft: bool,
        above: &mut Vec<String>,
        order: &mut Vec<Load>,
    ) -> Result<()> {
        if let Some(known) = order.iter_mut().find(|load| load.name == name) {
            known.may_fail &= may_fail;
            return Ok(());
        }
        if self.built_in.contains(name) {
            return Ok(());
        }
        let Some((path, info)) = self.by_name.get(name) else {
            let aliased =
                self.by_name.iter().filter(|(_, (_, i))| i.aliases.iter().any(|a| a == name));
            let aliased: Vec<String> = aliased.map(|(name, _)| name.clone()).collect();
            for other in &aliased {
                if !above.contains(other) {
                    self.add(other, true, soft, above, order)?;
                }
            }
            if may_fail || !aliased.is_empty() {
                return Ok(());
            }
            let why = format!("this kernel has no module {name}, neither built in nor beside");
            return Err(damaged(&self.root, 0, why));
        };
        if above.iter().any(|n| n == name) || above.len() > 64 {
            return Err(damaged(Path::new(path), 0, format!("depends on itself by {above:?}")));
        }
        above.push(name.into());
        if soft {
            for other in info.before.iter().filter(|n| !above.contains(n)).collect::<Vec<_>>() {
                self.add(other, true, true, above, order)?;
            }
        }
        for needed in &info.depends {
            self.add(needed, may_fail, soft, above, order)?;
        }
        above.pop();
        order.push(Load { name: name.into(), may_fail });
        Ok(())
    }
}

/// `kernel/fs/a-b.ko.xz` -> `a_b`.
fn stem(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let stem = ["", ".xz", ".zst", ".gz"]
        .iter()
        .find_map(|packed| file.strip_suffix(packed)?.strip_suffix(".ko"))?;
    Some(name(stem))
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    let file = std::fs::File::open(path).on("open", path)?;
    let raw = all(file, MAX).on("read", path)?;
    match Format::detect(&raw) {
        None => Ok(raw),
        Some(format) => format
            .decoder(&mut &raw[..])
            .and_then(|decoder| all(decoder, MAX))
            .map_err(|e| damaged(path, 0, e.to_string())),
    }
}

fn damaged(path: &Path, at: u64, why: String) -> Error {
    Error::Input { what: format!("module {}", path.display()), at, why }
}
