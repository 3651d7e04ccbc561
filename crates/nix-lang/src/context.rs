//! String contexts: which store objects a string depends on, as interned set ids.

use std::cell::RefCell;
use std::rc::Rc;

use nix_compat::{StoreDir, StorePath};
use rustc_hash::FxHashMap;

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

#[derive(Default)]
struct Inner {
    elems: Vec<Rc<ContextElem>>,
    elem_ids: FxHashMap<Rc<ContextElem>, u32>,
    sets: Vec<Rc<[u32]>>,
    set_ids: FxHashMap<Rc<[u32]>, Ctx>,
    unions: FxHashMap<(Ctx, Ctx), Ctx>,
}

/// All contexts of one evaluator.
pub(crate) struct Contexts(RefCell<Inner>);

impl Contexts {
    pub(crate) fn new() -> Self {
        let mut inner = Inner::default();
        let empty: Rc<[u32]> = Rc::new([]);
        inner.sets.push(empty.clone());
        inner.set_ids.insert(empty, Ctx::NONE);
        Contexts(RefCell::new(inner))
    }

    pub(crate) fn singleton(&self, elem: ContextElem) -> Ctx {
        let mut inner = self.0.borrow_mut();
        let id = inner.elem(elem);
        inner.set(&[id])
    }

    pub(crate) fn of_elems(&self, elems: impl IntoIterator<Item = ContextElem>) -> Ctx {
        let mut inner = self.0.borrow_mut();
        let mut ids: Vec<u32> = elems.into_iter().map(|elem| inner.elem(elem)).collect();
        ids.sort_unstable();
        ids.dedup();
        inner.set(&ids)
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
        let mut ids: Vec<u32> =
            inner.sets[a.0 as usize].iter().chain(&*inner.sets[b.0 as usize]).copied().collect();
        ids.sort_unstable();
        ids.dedup();
        let ctx = inner.set(&ids);
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
                let mut ids: Vec<u32> = parts
                    .iter()
                    .flat_map(|ctx| inner.sets[ctx.0 as usize].iter())
                    .copied()
                    .collect();
                ids.sort_unstable();
                ids.dedup();
                inner.set(&ids)
            }
        }
    }

    pub(crate) fn elems(&self, ctx: Ctx) -> Vec<Rc<ContextElem>> {
        let inner = self.0.borrow();
        inner.sets[ctx.0 as usize].iter().map(|id| inner.elems[*id as usize].clone()).collect()
    }
}

impl Inner {
    fn elem(&mut self, elem: ContextElem) -> u32 {
        if let Some(id) = self.elem_ids.get(&elem) {
            return *id;
        }
        let id = self.elems.len() as u32;
        let elem = Rc::new(elem);
        self.elems.push(elem.clone());
        self.elem_ids.insert(elem, id);
        id
    }

    fn set(&mut self, ids: &[u32]) -> Ctx {
        if let Some(ctx) = self.set_ids.get(ids) {
            return *ctx;
        }
        let ctx = Ctx(self.sets.len() as u32);
        let ids: Rc<[u32]> = ids.into();
        self.sets.push(ids.clone());
        self.set_ids.insert(ids, ctx);
        ctx
    }
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
        let single: Vec<Ctx> = (0..1000).map(|n| contexts.singleton(path(n))).collect();
        let before = contexts.0.borrow().sets.len();
        let mut gathered = Gathered::new();
        assert!(gathered.is_empty());
        for ctx in single.iter().chain(&single) {
            gathered.add(Ctx::NONE);
            gathered.add(*ctx);
        }
        let all = contexts.sum(&gathered);
        assert_eq!(contexts.0.borrow().sets.len(), before + 1);
        let one_by_one = single.iter().fold(Ctx::NONE, |all, ctx| contexts.union(all, *ctx));
        assert_eq!(all, one_by_one);
    }
}
