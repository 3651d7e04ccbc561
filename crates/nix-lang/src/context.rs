//! String contexts: which store objects a string depends on, as interned set ids.

use std::cell::RefCell;
use std::hash::{Hash, Hasher};

use nix_compat::{InputDerivationHash, StoreDir, StorePath};
use rustc_hash::{FxHashMap, FxHasher};

use crate::index::Index;
use crate::store_paths::StorePaths;

/// One store object a string depends on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ContextElem {
    /// A store path as it is (a source, a text, a derivation file by itself).
    Opaque(StorePath),
    /// An output of a derivation, to be built: `!out!/nix/store/….drv`.
    Built {
        /// The derivation.
        drv: StorePath,
        /// The name of the output.
        output: String,
    },
    /// An output of a derivation that is itself an output of a derivation: the first output is one
    /// of `drv`, each further one belongs to the derivation that the one before it is.
    Dynamic {
        /// The derivation that is known.
        drv: StorePath,
        /// At least two names.
        outputs: Vec<String>,
    },
    /// A derivation file together with everything it builds from and builds: `=/nix/store/….drv`.
    DrvDeep(StorePath),
}

impl ContextElem {
    /// The store path that the element is about (the derivation for outputs).
    #[must_use]
    pub fn path(&self) -> &StorePath {
        match self {
            ContextElem::Opaque(path) | ContextElem::DrvDeep(path) => path,
            ContextElem::Built { drv, .. } | ContextElem::Dynamic { drv, .. } => drv,
        }
    }

    /// The encoding that C++ Nix uses: plain path, `!out!path` (`!out!dev!path` for output `out`
    /// of the derivation that is output `dev` of another) or `=path`.
    #[must_use]
    pub fn encode(&self, store: &StoreDir) -> String {
        match self {
            ContextElem::Opaque(path) => store.render_path(path),
            ContextElem::DrvDeep(path) => format!("={}", store.render_path(path)),
            ContextElem::Built { drv, output } => format!("!{output}!{}", store.render_path(drv)),
            ContextElem::Dynamic { drv, outputs } => {
                let names: Vec<&str> = outputs.iter().rev().map(String::as_str).collect();
                format!("!{}!{}", names.join("!"), store.render_path(drv))
            }
        }
    }
}

impl ContextElem {
    /// Reads what [`ContextElem::encode`] gave; nothing when it is no such text.
    #[must_use]
    pub fn decode(text: &str, store: &StoreDir) -> Option<Self> {
        let path = |text: &str| store.parse_path(text.as_bytes()).ok();
        if let Some(deep) = text.strip_prefix('=') {
            return path(deep).map(ContextElem::DrvDeep);
        }
        let Some(built) = text.strip_prefix('!') else {
            return path(text).map(ContextElem::Opaque);
        };
        let (names, drv) = built.rsplit_once('!')?;
        let drv = path(drv)?;
        let mut outputs: Vec<String> = names.split('!').rev().map(str::to_owned).collect();
        if outputs.iter().any(String::is_empty) {
            return None;
        }
        Some(match outputs.len() {
            1 => ContextElem::Built { drv, output: outputs.remove(0) },
            _ => ContextElem::Dynamic { drv, outputs },
        })
    }
}

impl ContextElem {
    /// An output of what this element stands for; none where that is no single derivation.
    #[must_use]
    pub fn output(&self, name: &str) -> Option<ContextElem> {
        let name = name.to_owned();
        Some(match self {
            ContextElem::Opaque(drv) => ContextElem::Built { drv: drv.clone(), output: name },
            ContextElem::Built { drv, output } => {
                ContextElem::Dynamic { drv: drv.clone(), outputs: vec![output.clone(), name] }
            }
            ContextElem::Dynamic { drv, outputs } => {
                let mut outputs = outputs.clone();
                outputs.push(name);
                ContextElem::Dynamic { drv: drv.clone(), outputs }
            }
            ContextElem::DrvDeep(_) => return None,
        })
    }

    /// As the command line of C++ Nix has it: `path^out`, `path^dev^out`.
    #[must_use]
    pub fn to_installable(&self, store: &StoreDir) -> String {
        let path = store.render_path(self.path());
        match self {
            ContextElem::Opaque(_) | ContextElem::DrvDeep(_) => path,
            ContextElem::Built { output, .. } => format!("{path}^{output}"),
            ContextElem::Dynamic { outputs, .. } => format!("{path}^{}", outputs.join("^")),
        }
    }
}

/// The id of a set of context elements; 0 is the empty set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Ctx(pub(crate) u32);

impl Ctx {
    /// The empty set.
    pub const NONE: Ctx = Ctx(0);

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The context of something that is being put together from parts. The set is made once, at the
/// end: a set for every part of a long list would take the square of its length.
#[derive(Default)]
pub(crate) struct Gathered {
    first: Ctx,
    more: Vec<Ctx>,
}

impl Gathered {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    #[inline]
    pub(crate) fn add(&mut self, ctx: Ctx) {
        if ctx.is_empty() || ctx == self.first {
            return;
        }
        if self.first.is_empty() {
            self.first = ctx;
        } else if self.more.last() != Some(&ctx) {
            self.more.push(ctx);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }
}

/// An element as it is kept: the number of its path, and how it is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Elem {
    path: u32,
    /// [`OPAQUE`], [`DEEP`], or from [`OUTPUTS`] on the number of the names of its outputs.
    kind: u32,
}

const OPAQUE: u32 = 0;
const DEEP: u32 = 1;
const OUTPUTS: u32 = 2;

/// Most strings of a package set have a context of their own, so a set takes few bytes: everything is
/// a number, and lies in a row with its like.
#[derive(Default)]
struct Inner {
    paths: StorePaths,
    /// The names of outputs that elements have: there are few.
    outputs: Vec<Vec<String>>,
    elems: Vec<Elem>,
    elem_index: Index,
    /// The elements of all sets, and where those of each set end.
    members: Vec<u32>,
    ends: Vec<u32>,
    set_index: Index,
    unions: FxHashMap<(Ctx, Ctx), Ctx>,
    derivations: Vec<Option<InputDerivationHash>>,
}

/// All contexts of one evaluator, and what it knows of the store paths in them.
pub(crate) struct Contexts(RefCell<Inner>);

impl Contexts {
    pub(crate) fn new() -> Self {
        let mut inner = Inner::default();
        inner.set(&[]);
        Contexts(RefCell::new(inner))
    }

    pub(crate) fn singleton(&self, elem: &ContextElem) -> Ctx {
        let mut inner = self.0.borrow_mut();
        let id = inner.elem(elem);
        inner.set(&[id])
    }

    pub(crate) fn of_elems(&self, elems: impl IntoIterator<Item = ContextElem>) -> Ctx {
        let mut inner = self.0.borrow_mut();
        let ids = elems.into_iter().map(|elem| inner.elem(&elem)).collect();
        inner.set_of(ids)
    }

    pub(crate) fn union(&self, a: Ctx, b: Ctx) -> Ctx {
        if a == b || b.is_empty() {
            return a;
        }
        if a.is_empty() {
            return b;
        }
        let key = if a.0 < b.0 { (a, b) } else { (b, a) };
        let mut inner = self.0.borrow_mut();
        if let Some(ctx) = inner.unions.get(&key) {
            return *ctx;
        }
        let ids = [inner.members(a), inner.members(b)].concat();
        let ctx = inner.set_of(ids);
        inner.unions.insert(key, ctx);
        ctx
    }

    /// The set of all that was gathered.
    pub(crate) fn sum(&self, gathered: &Gathered) -> Ctx {
        match gathered.more.as_slice() {
            [] => gathered.first,
            [second] => self.union(gathered.first, *second),
            more => {
                let mut parts = more.to_vec();
                parts.push(gathered.first);
                parts.sort_unstable();
                parts.dedup();
                let mut inner = self.0.borrow_mut();
                let ids = parts.iter().flat_map(|ctx| inner.members(*ctx)).copied().collect();
                inner.set_of(ids)
            }
        }
    }

    pub(crate) fn elems(&self, ctx: Ctx) -> Vec<ContextElem> {
        let inner = self.0.borrow();
        inner.members(ctx).iter().map(|id| inner.get(*id)).collect()
    }

    /// What a derivation counts as in others, where that was noted.
    pub(crate) fn derivation_hash(&self, path: &StorePath) -> Option<InputDerivationHash> {
        let inner = self.0.borrow();
        *inner.derivations.get(inner.paths.find(path)? as usize)?
    }

    /// Notes what a derivation counts as in others.
    pub(crate) fn note_derivation(&self, path: &StorePath, hash: InputDerivationHash) {
        let mut inner = self.0.borrow_mut();
        let number = inner.paths.add(path) as usize;
        if inner.derivations.len() <= number {
            inner.derivations.resize(number + 1, None);
        }
        inner.derivations[number] = Some(hash);
    }
}

impl Inner {
    fn elem(&mut self, elem: &ContextElem) -> u32 {
        let path = self.paths.add(elem.path());
        let kind = match elem {
            ContextElem::Opaque(_) => OPAQUE,
            ContextElem::DrvDeep(_) => DEEP,
            ContextElem::Built { output, .. } => self.outputs(std::slice::from_ref(output)),
            ContextElem::Dynamic { outputs, .. } => self.outputs(outputs),
        };
        let elem = Elem { path, kind };
        let known = self.elem_index.find(elem.hash(), |id| self.elems[id as usize] == elem);
        known.unwrap_or_else(|| {
            let id = self.elems.len() as u32;
            self.elems.push(elem);
            let elems = &self.elems;
            self.elem_index.insert(elem.hash(), id, |id| elems[id as usize].hash());
            id
        })
    }

    /// The kind of an element with these outputs.
    fn outputs(&mut self, names: &[String]) -> u32 {
        let known = self.outputs.iter().position(|known| known == names);
        let number = known.unwrap_or_else(|| {
            self.outputs.push(names.to_vec());
            self.outputs.len() - 1
        });
        OUTPUTS + number as u32
    }

    fn get(&self, id: u32) -> ContextElem {
        let Elem { path, kind } = self.elems[id as usize];
        let path = self.paths.get(path);
        match kind {
            OPAQUE => ContextElem::Opaque(path),
            DEEP => ContextElem::DrvDeep(path),
            kind => match self.outputs[(kind - OUTPUTS) as usize].as_slice() {
                [output] => ContextElem::Built { drv: path, output: output.clone() },
                outputs => ContextElem::Dynamic { drv: path, outputs: outputs.to_vec() },
            },
        }
    }

    fn members(&self, ctx: Ctx) -> &[u32] {
        members(&self.members, &self.ends, ctx.0)
    }

    fn set_of(&mut self, mut ids: Vec<u32>) -> Ctx {
        ids.sort_unstable();
        ids.dedup();
        self.set(&ids)
    }

    /// The set of these elements, which are sorted.
    fn set(&mut self, ids: &[u32]) -> Ctx {
        let hash = hash_of(ids);
        if let Some(known) = self.set_index.find(hash, |set| self.members(Ctx(set)) == ids) {
            return Ctx(known);
        }
        let set = self.ends.len() as u32;
        self.members.extend_from_slice(ids);
        self.ends.push(self.members.len() as u32);
        let (all, ends) = (&self.members, &self.ends);
        self.set_index.insert(hash, set, |set| hash_of(members(all, ends, set)));
        Ctx(set)
    }
}

impl Elem {
    fn hash(self) -> u64 {
        u64::from(self.kind) << 32 | u64::from(self.path)
    }
}

fn members<'a>(members: &'a [u32], ends: &[u32], set: u32) -> &'a [u32] {
    let at = set as usize;
    let start = at.checked_sub(1).map_or(0, |before| ends[before]);
    &members[start as usize..ends[at] as usize]
}

fn hash_of(ids: &[u32]) -> u64 {
    let mut hasher = FxHasher::default();
    ids.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gathering_makes_one_set() {
        let contexts = Contexts::new();
        let path = |n: u32| {
            let text = format!("00000000000000000000000000000000-{n}");
            ContextElem::Opaque(
                StoreDir::default()
                    .parse_path(format!("/nix/store/{text}").as_bytes())
                    .expect("a store path"),
            )
        };
        let single: Vec<Ctx> = (0..1000).map(|n| contexts.singleton(&path(n))).collect();
        let before = contexts.0.borrow().ends.len();
        let mut gathered = Gathered::new();
        assert!(gathered.is_empty());
        for ctx in single.iter().chain(&single) {
            gathered.add(Ctx::NONE);
            gathered.add(*ctx);
        }
        let all = contexts.sum(&gathered);
        assert_eq!(contexts.0.borrow().ends.len(), before + 1);
        let one_by_one = single.iter().fold(Ctx::NONE, |all, ctx| contexts.union(all, *ctx));
        assert_eq!(all, one_by_one);
        let elems: Vec<ContextElem> = (0..1000).map(path).collect();
        assert_eq!(contexts.elems(all), elems);
    }

    #[test]
    fn elements_of_all_kinds_come_back() {
        let contexts = Contexts::new();
        let texts = [
            "/nix/store/00000000000000000000000000000000-a.drv",
            "=/nix/store/00000000000000000000000000000000-a.drv",
            "!out!/nix/store/00000000000000000000000000000000-a.drv",
            "!dev!/nix/store/00000000000000000000000000000000-a.drv",
            "!out!dev!/nix/store/00000000000000000000000000000000-a.drv",
        ];
        let store = StoreDir::default();
        let elems: Vec<ContextElem> =
            texts.iter().filter_map(|text| ContextElem::decode(text, &store)).collect();
        assert_eq!(elems.len(), texts.len());
        assert_eq!(contexts.elems(contexts.of_elems(elems.clone())), elems);
        for elem in elems {
            let ctx = contexts.singleton(&elem);
            assert_eq!(contexts.elems(ctx), [elem]);
        }
    }
}
