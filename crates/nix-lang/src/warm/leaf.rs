//! Answers of the world that an evaluation depends on.

use std::cell::{Cell, RefCell};
use std::hash::Hash;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix_compat::flake_ref::registry::Registry;
use nix_compat::flake_ref::{Attr as RefAttr, Input};
use nix_compat::url::Url;
use nix_compat::{CAHash, Derivation, NixHash, StoreDir, StorePath};
use rustc_hash::FxHashMap;

use super::Watched;
use super::graph::{Graph, Node};
use crate::context::ContextElem;
use crate::io::{
    ClosureRequest, FetchRequest, Fetched, FileType, Ingestion, Io, IoError, LocalTree, LockFile,
    PathFilter, Place,
};
use crate::value::NodeId;

/// A question to the world.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Question {
    /// The bytes of a file.
    File(PathBuf),
    /// The names in a directory.
    Dir(PathBuf),
    /// What a path is.
    Type(PathBuf),
    /// Where a symlink points.
    Link(PathBuf),
    /// A file or tree as the store would have it.
    Tree(PathBuf),
    /// The files of a directory of this machine that count.
    Tracked(FetchRequest),
    /// What is known about something fetched.
    Fetched(FetchRequest),
    /// What short names stand for; the global registry as well.
    Registries(bool),
}

/// The digest of an answer; none where only asking again tells.
pub(super) type Answer = Option<blake3::Hash>;

struct Leaf {
    question: Question,
    node: NodeId,
    answer: Answer,
    /// Whether different answers were seen between two looks.
    wavers: bool,
}

/// Every question asked so far.
#[derive(Default)]
pub(super) struct Leaves {
    ids: FxHashMap<Question, usize>,
    list: Vec<Leaf>,
    pub(super) changed_trees: Vec<PathBuf>,
    pub(super) changed_files: Vec<PathBuf>,
}

impl Leaves {
    /// Everything that was asked, and what the answers were.
    pub(super) fn answers(&self) -> impl Iterator<Item = (&Question, Answer)> {
        self.list.iter().map(|leaf| (&leaf.question, leaf.answer.filter(|_| !leaf.wavers)))
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }
}

impl Question {
    /// What it is about, if that is on this machine.
    fn path(&self) -> Option<PathBuf> {
        match self {
            Question::File(path)
            | Question::Dir(path)
            | Question::Type(path)
            | Question::Link(path)
            | Question::Tree(path) => Some(path.clone()),
            Question::Tracked(request) | Question::Fetched(request) => local_path(request),
            Question::Registries(_) => None,
        }
    }

    /// Whether a change at `path` can change the answer.
    fn concerns(&self, path: &Path) -> bool {
        let Some(mine) = &self.path() else { return false };
        match self {
            // The index of version control lies below what it is about.
            Question::Tracked(_) => path.starts_with(mine.join(".git")),
            // Any edit makes a work tree dirty.
            Question::Tree(_) | Question::Fetched(_) => {
                path.starts_with(mine) || mine.starts_with(path)
            }
            Question::Dir(_) => path.parent() == Some(mine) || mine.starts_with(path),
            _ => mine.starts_with(path),
        }
    }

    pub(super) fn ask(&self, io: &dyn Io) -> Answer {
        Some(match self {
            Question::File(path) => file_digest(&io.read_file(path)),
            Question::Dir(path) => dir_digest(&io.read_dir(path)),
            Question::Type(path) => digest(&io.file_type(path).map_err(|error| error.kind())),
            Question::Link(path) => digest(&io.read_link(path).map_err(|error| error.kind())),
            Question::Tracked(request) => tracked_digest(&io.fetch(request)),
            Question::Fetched(request) => fetched_digest(&io.fetch(request)),
            Question::Registries(global) => registries_digest(&io.registries(*global)),
            Question::Tree(_) => return None,
        })
    }
}

fn digest(answer: &impl std::fmt::Debug) -> blake3::Hash {
    blake3::hash(format!("{answer:?}").as_bytes())
}

fn file_digest(answer: &io::Result<Vec<u8>>) -> blake3::Hash {
    match answer {
        Ok(bytes) => blake3::hash(bytes),
        Err(error) => digest(&error.kind()),
    }
}

fn dir_digest(answer: &io::Result<Vec<(Vec<u8>, FileType)>>) -> blake3::Hash {
    match answer {
        Ok(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            digest(&entries)
        }
        Err(error) => digest(&error.kind()),
    }
}

fn local_path(request: &FetchRequest) -> Option<PathBuf> {
    if let Some(path) = request.input.text("path") {
        return Some(path.into());
    }
    let url = Url::parse(request.input.text("url")?, false).ok()?;
    if url.scheme == "file" { url.to_path().ok().map(PathBuf::from) } else { None }
}

fn tracked_digest(answer: &Result<Fetched, IoError>) -> blake3::Hash {
    let files = match answer {
        Ok(Fetched { place: Place::Local(LocalTree { files: Some(files), .. }), .. }) => files,
        Ok(_) => return digest(&"not tracked"),
        Err(error) => return digest(&error.to_string()),
    };
    let mut hasher = blake3::Hasher::new();
    for file in files {
        hasher.update(file.as_os_str().as_bytes()).update(&[0]);
    }
    hasher.finalize()
}

fn registries_digest(answer: &Result<Vec<Registry>, IoError>) -> blake3::Hash {
    match answer {
        Ok(all) => digest(all),
        Err(error) => digest(&error.to_string()),
    }
}

fn fetched_digest(answer: &Result<Fetched, IoError>) -> blake3::Hash {
    match answer {
        Ok(fetched) => digest(&(&fetched.input, &fetched.facts)),
        Err(error) => digest(&error.to_string()),
    }
}

impl<'a> Graph<'a> {
    /// Note that the running frame depends on an answer.
    fn note(&self, question: Question, answer: Answer) {
        let mut leaves = self.leaves.borrow_mut();
        let node = match leaves.ids.get(&question).copied() {
            Some(at) => {
                let leaf = &mut leaves.list[at];
                leaf.wavers |= leaf.answer != answer;
                leaf.node
            }
            None => {
                let mut inner = self.inner.borrow_mut();
                let node = inner.nodes.len() as NodeId;
                inner.nodes.push(Node::new(None, None));
                let at = leaves.list.len();
                leaves.ids.insert(question.clone(), at);
                leaves.list.push(Leaf { question, node, answer, wavers: false });
                node
            }
        };
        drop(leaves);
        self.note_read(node);
    }

    /// Note that the running frame depends on a file that was read before.
    pub(crate) fn note_file(&self, path: &Path) {
        let leaves = self.leaves.borrow();
        let at = leaves.ids.get(&Question::File(path.to_owned()));
        let node = at.map(|at| leaves.list[*at].node);
        drop(leaves);
        if let Some(node) = node {
            self.note_read(node);
        }
    }

    /// Note that the running frame depends on everything below a path.
    pub(crate) fn note_tree(&self, path: &Path) {
        self.note(Question::Tree(path.to_owned()), None);
    }

    /// Ask the world again.
    pub(super) fn refresh(&self, changed: Option<&[PathBuf]>) {
        self.began.set(self.tick());
        let mut leaves = self.leaves.borrow_mut();
        let (mut trees, mut files) = (Vec::new(), Vec::new());
        for leaf in &mut leaves.list {
            let concerned = leaf.wavers
                || changed
                    .is_none_or(|paths| paths.iter().any(|path| leaf.question.concerns(path)));
            if !concerned {
                continue;
            }
            let answer = leaf.question.ask(&*self.io);
            if answer.is_some() && answer == leaf.answer && !leaf.wavers {
                continue;
            }
            (leaf.answer, leaf.wavers) = (answer, false);
            let mut inner = self.inner.borrow_mut();
            inner.nodes[leaf.node as usize].changed = self.began.get();
            inner.queue_readers(leaf.node);
            match &leaf.question {
                Question::Tree(path) => trees.push(path.clone()),
                Question::File(path) => files.push(path.clone()),
                // What a tree shows is part of the evaluator's own state.
                Question::Tracked(_) => self.spoiled.set(true),
                _ => {}
            }
        }
        (leaves.changed_trees, leaves.changed_files) = (trees, files);
    }

    pub(super) fn concerned_by(&self, paths: &[PathBuf]) -> bool {
        let leaves = self.leaves.borrow();
        leaves.list.iter().any(|leaf| paths.iter().any(|path| leaf.question.concerns(path)))
    }

    pub(super) fn watched(&self) -> Vec<Watched> {
        let leaves = self.leaves.borrow();
        let watched = |leaf: &Leaf| {
            let path = leaf.question.path()?;
            Some(match &leaf.question {
                Question::Tracked(_) | Question::Fetched(_) => {
                    Watched { path: path.join(".git/index"), below: false }
                }
                Question::Tree(_) => Watched { path, below: true },
                _ => Watched { path, below: false },
            })
        };
        let mut all: Vec<Watched> = leaves.list.iter().filter_map(watched).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// Hands every question on and notes who asked.
pub(crate) struct Recorder<'a> {
    graph: Rc<Graph<'a>>,
    /// What was fetched in a run, and which run that was.
    fetched: RefCell<FxHashMap<FetchRequest, Fetched>>,
    run: Cell<u32>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(graph: Rc<Graph<'a>>) -> Self {
        Recorder { graph, fetched: RefCell::default(), run: Cell::default() }
    }

    fn io(&self) -> &dyn Io {
        &*self.graph.io
    }
}

impl Io for Recorder<'_> {
    fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        let answer = self.io().read_file(path);
        self.graph.note(Question::File(path.to_owned()), Some(file_digest(&answer)));
        answer
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        let answer = self.io().read_link(path);
        let noted = digest(&answer.as_ref().map_err(io::Error::kind));
        self.graph.note(Question::Link(path.to_owned()), Some(noted));
        answer
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<(Vec<u8>, FileType)>> {
        let answer = self.io().read_dir(path);
        self.graph.note(Question::Dir(path.to_owned()), Some(dir_digest(&answer)));
        answer
    }

    fn file_type(&self, path: &Path) -> io::Result<Option<FileType>> {
        let answer = self.io().file_type(path);
        let noted = digest(&answer.as_ref().map_err(io::Error::kind));
        self.graph.note(Question::Type(path.to_owned()), Some(noted));
        answer
    }

    fn env_var(&self, name: &str) -> Option<Vec<u8>> {
        self.io().env_var(name)
    }

    fn current_system(&self) -> String {
        self.io().current_system()
    }

    fn current_time(&self) -> i64 {
        self.io().current_time()
    }

    fn store_dir(&self) -> StoreDir {
        self.io().store_dir()
    }

    fn message(&self, text: &str) {
        self.io().message(text);
    }

    fn add_text(
        &self,
        name: &str,
        contents: &[u8],
        references: &[StorePath],
    ) -> Result<StorePath, IoError> {
        self.io().add_text(name, contents, references)
    }

    fn add_path(
        &self,
        name: &str,
        path: &Path,
        ingestion: Ingestion,
        filter: Option<PathFilter<'_>>,
    ) -> Result<StorePath, IoError> {
        self.graph.note_tree(path);
        self.io().add_path(name, path, ingestion, filter)
    }

    fn hash_path(
        &self,
        name: &str,
        path: &Path,
        ingestion: Ingestion,
        filter: Option<PathFilter<'_>>,
    ) -> Result<(StorePath, CAHash), IoError> {
        self.graph.note_tree(path);
        self.io().hash_path(name, path, ingestion, filter)
    }

    fn add_derivation(&self, path: &StorePath, text: Vec<u8>) -> Result<(), IoError> {
        self.io().add_derivation(path, text)
    }

    fn is_valid_path(&self, path: &StorePath) -> Result<bool, IoError> {
        self.io().is_valid_path(path)
    }

    fn references(&self, path: &StorePath) -> Result<Vec<StorePath>, IoError> {
        self.io().references(path)
    }

    fn realise(&self, context: &[ContextElem]) -> Result<Vec<(ContextElem, StorePath)>, IoError> {
        self.io().realise(context)
    }

    fn read_derivation(&self, path: &StorePath) -> Result<Derivation, IoError> {
        self.io().read_derivation(path)
    }

    fn physical(&self, path: &Path) -> PathBuf {
        self.io().physical(path)
    }

    fn write_lock(&self, lock: &LockFile<'_>) -> Result<bool, IoError> {
        let written = self.io().write_lock(lock);
        self.fetched.borrow_mut().clear();
        written
    }

    fn write_file(&self, path: &Path, contents: &[u8]) -> Result<(), IoError> {
        self.io().write_file(path, contents)
    }

    fn fetch(&self, request: &FetchRequest) -> Result<Fetched, IoError> {
        let mut fetched = self.fetched.borrow_mut();
        // What was fetched in one run stays as it is in that run.
        if self.run.replace(self.graph.began.get()) != self.graph.began.get() {
            fetched.clear();
        }
        let known = fetched.get(request).cloned();
        let answer = known.map_or_else(|| self.io().fetch(request), Ok);
        if let Ok(answer) = &answer {
            fetched.entry(request.clone()).or_insert_with(|| answer.clone());
        }
        drop(fetched);
        self.graph.note(Question::Tracked(request.clone()), Some(tracked_digest(&answer)));
        self.graph.note(Question::Fetched(request.clone()), Some(fetched_digest(&answer)));
        answer
    }

    fn fetch_fact(&self, input: &Input, name: &str) -> Result<RefAttr, IoError> {
        self.io().fetch_fact(input, name)
    }

    fn fetch_file(
        &self,
        url: &str,
        name: &str,
        expected: Option<&NixHash>,
    ) -> Result<(StorePath, NixHash), IoError> {
        self.io().fetch_file(url, name, expected)
    }

    fn fetch_closure(&self, request: &ClosureRequest) -> Result<StorePath, IoError> {
        self.io().fetch_closure(request)
    }

    fn registries(&self, global: bool) -> Result<Vec<Registry>, IoError> {
        let answer = self.io().registries(global);
        self.graph.note(Question::Registries(global), Some(registries_digest(&answer)));
        answer
    }
}
