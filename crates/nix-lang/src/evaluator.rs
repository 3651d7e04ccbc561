//! The evaluator: what one evaluation keeps.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bumpalo::Bump;
use nix_compat::StoreDir;
use nix_syntax::{Globals, Sources, Symbols};
use rustc_hash::FxHashMap;

use crate::arena::{self, Arena};
use crate::builtins;
use crate::context::{Contexts, Ctx};
use crate::error::{Error, ErrorKind, Result};
use crate::flake::{Fetches, Live};
use crate::io::Io;
use crate::paths::Tree;
use crate::slot::Slot;
use crate::source::Pos;
use crate::stack;
use crate::sym;
use crate::value::{Attrs, Env, List, Str, Value};
use crate::warm::Graph;

/// How to evaluate.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Refuse whatever depends on more than the expression: files outside of flakes and of the
    /// store, environment variables, the time, the system.
    pub pure: bool,
    /// Read only what lies below [`Settings::allowed_paths`] and in the store, fetch only what
    /// [`Settings::allowed_uris`] lets through.
    pub restrict: bool,
    /// What the URLs that restricted evaluation may fetch begin with.
    pub allowed_uris: Vec<String>,
    /// Show every step of an error's trail.
    pub show_trace: bool,
    /// Render errors in colour.
    pub colour: bool,
    /// Let `builtins.traceVerbose` speak.
    pub trace_verbose: bool,
    /// Say which files are evaluated.
    pub verbose: bool,
    /// Make what `builtins.warn` says an error.
    pub abort_on_warn: bool,
    /// What to warn of in the text of expressions, and what to refuse.
    pub lints: nix_syntax::Lints,
    /// The experimental features of C++ Nix that are on, by their names there, beyond those that
    /// everybody has on here: what they change is only looked for where it is asked for.
    pub features: Vec<String>,
    /// How deep function calls may nest.
    pub max_call_depth: u32,
    /// How long evaluation may take.
    pub max_time: Option<Duration>,
    /// How many bytes values may take.
    pub max_memory: Option<usize>,
    /// The search path: `nixpkgs=/some/dir` or `/some/dir`.
    pub search_path: Vec<String>,
    /// Where entries of the search path start from that are not absolute.
    pub current_dir: Option<PathBuf>,
    /// What `~/` means; nothing in pure evaluation.
    pub home: Option<PathBuf>,
    /// Paths that pure evaluation may read, beside flakes and the store.
    pub allowed_paths: Vec<PathBuf>,
    /// Evaluation stops with an error when this becomes true.
    pub interrupt: Option<Arc<AtomicBool>>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            pure: false,
            restrict: false,
            allowed_uris: Vec::new(),
            show_trace: false,
            colour: false,
            trace_verbose: false,
            verbose: false,
            abort_on_warn: false,
            lints: nix_syntax::Lints::default(),
            features: Vec::new(),
            max_call_depth: 10_000,
            max_time: None,
            max_memory: None,
            search_path: Vec::new(),
            current_dir: None,
            home: None,
            allowed_paths: Vec::new(),
            interrupt: None,
        }
    }
}

/// A store path as text, with the context that names it.
type StoredText = (Rc<str>, Ctx);

/// The names and values every file sees.
pub(crate) struct GlobalTable<'a> {
    pub(crate) names: Globals,
    values: &'a [Cell<Slot<'a>>],
}

impl<'a> GlobalTable<'a> {
    #[inline]
    pub(crate) fn slot(&self, index: u32) -> Slot<'a> {
        self.values[index as usize].get()
    }
}

/// Evaluates Nix expressions. Single-threaded; all values belong to its arena.
pub struct Evaluator<'a> {
    pub(crate) arena: &'a Bump,
    pub(crate) io: Box<dyn Io + 'a>,
    pub(crate) settings: Settings,
    pub(crate) store_dir: StoreDir,
    pub(crate) symbols: Symbols<'a>,
    pub(crate) symbol_strings: RefCell<Vec<Option<&'a Str<'a>>>>,
    pub(crate) sources: Rc<Sources>,
    pub(crate) contexts: Contexts,
    pub(crate) globals: GlobalTable<'a>,
    pub(crate) root_env: &'a Env<'a>,
    pub(crate) depth: Cell<u32>,
    pub(crate) stack_limit: usize,
    pub(crate) spare: Cell<Vec<u8>>,
    pub(crate) whole_trace: Cell<bool>,
    pub(crate) imports: RefCell<FxHashMap<Vec<u8>, Value<'a>>>,
    pub(crate) copied: RefCell<FxHashMap<Vec<u8>, StoredText>>,
    pub(crate) trees: RefCell<Vec<Rc<Tree>>>,
    pub(crate) allowed: RefCell<Vec<Vec<u8>>>,
    pub(crate) regexes: RefCell<FxHashMap<Vec<u8>, Rc<posix_ere::Regex>>>,
    pub(crate) flakes: RefCell<Vec<Rc<Live<'a>>>>,
    /// What [`Evaluator::ignored_settings`] says.
    pub(crate) ignored_settings: RefCell<Vec<String>>,
    pub(crate) fetches: Fetches,
    /// What warm evaluation records; see [`Evaluator::warm`].
    pub(crate) graph: Option<Rc<Graph<'a>>>,
    /// What thunks failed with, by the numbers that they have.
    pub(crate) failures: RefCell<Vec<Error>>,
    /// The list without elements: there are many.
    pub(crate) empty_list: &'a List<'a>,
    /// The set without attributes, as well.
    pub(crate) empty_set: &'a Attrs<'a>,
    /// Scopes that nothing refers to any more, by how many variables they have: the first one, and around it the next.
    pub(crate) free_scopes: [Cell<Option<&'a Env<'a>>>; 16],
    ticks: Cell<u32>,
    deadline: Cell<Option<Instant>>,
}

impl<'a> Evaluator<'a> {
    /// An evaluator whose values live in `arena`.
    pub fn new(arena: &'a Arena, io: impl Io + 'a, settings: Settings) -> Self {
        let arena = &arena.0;
        let symbols = Symbols::new(arena);
        sym::intern_all(&symbols);
        let root_env = Env::new(arena, None, std::iter::empty());
        let names = builtins::globals(&settings.features);
        let values = arena.alloc_slice_fill_iter(names.iter().map(|_| Cell::new(Slot::HOLE)));
        let io = Box::new(io);
        let allowed = settings
            .allowed_paths
            .iter()
            .map(|path| std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).to_vec())
            .collect();
        let whole_trace = settings.show_trace;
        let evaluator = Evaluator {
            arena,
            store_dir: io.store_dir(),
            io,
            deadline: Cell::new(settings.max_time.map(|time| Instant::now() + time)),
            settings,
            globals: GlobalTable {
                names: Globals::new(&symbols, names.iter().map(|name| name.as_bytes())),
                values,
            },
            symbols,
            symbol_strings: RefCell::default(),
            sources: Rc::new(Sources::new()),
            contexts: Contexts::new(),
            root_env,
            depth: Cell::new(0),
            stack_limit: stack::limit(),
            spare: Cell::default(),
            whole_trace: Cell::new(whole_trace),
            imports: RefCell::default(),
            copied: RefCell::default(),
            trees: RefCell::default(),
            allowed: RefCell::new(allowed),
            regexes: RefCell::default(),
            flakes: RefCell::default(),
            ignored_settings: RefCell::default(),
            fetches: Fetches::default(),
            graph: None,
            failures: RefCell::default(),
            empty_list: arena.alloc(List::new(arena, &[])),
            empty_set: Attrs::new(arena, &[]),
            free_scopes: Default::default(),
            ticks: Cell::new(0),
        };
        builtins::fill(&evaluator, &names, values);
        evaluator
    }

    /// Give a further run its full time.
    pub(crate) fn restart_clock(&self) {
        self.deadline.set(self.settings.max_time.map(|time| Instant::now() + time));
    }

    /// Look at the clock and the memory now and then.
    #[inline]
    pub(crate) fn tick(&self, pos: &Pos) -> Result<()> {
        let ticks = self.ticks.get().wrapping_add(1);
        self.ticks.set(ticks);
        if ticks.is_multiple_of(1024) { self.check_limits(*pos) } else { Ok(()) }
    }

    /// Whether `bytes` more are allowed, before a builtin makes that much at once.
    pub(crate) fn check_room(&self, bytes: usize, pos: Pos) -> Result<()> {
        match self.settings.max_memory {
            Some(most) if arena::used(self.arena).saturating_add(bytes) > most => {
                Err(too_much_memory(pos))
            }
            _ => Ok(()),
        }
    }

    #[cold]
    fn check_limits(&self, pos: Pos) -> Result<()> {
        if self.settings.interrupt.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed)) {
            return Err(Error::new(ErrorKind::Interrupted, "interrupted", pos));
        }
        if self.deadline.get().is_some_and(|deadline| Instant::now() > deadline) {
            let message = "the evaluation takes longer than it may";
            return Err(Error::new(ErrorKind::Limit, message, pos));
        }
        if self.settings.max_memory.is_some_and(|most| arena::used(self.arena) > most) {
            return Err(too_much_memory(pos));
        }
        Ok(())
    }
}

fn too_much_memory(pos: Pos) -> Error {
    Error::new(ErrorKind::Limit, "the evaluation needs more memory than it may have", pos)
}
