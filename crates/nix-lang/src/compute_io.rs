//! An [`Io`] that reads the file system and only computes store paths: nothing is written.

use std::cell::RefCell;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix_compat::flake_ref::Attr as RefAttr;
use nix_compat::nar::Encoder;
use nix_compat::url::Url;
use nix_compat::{CAHash, Derivation, HashAlgorithm, NixHash, NixHasher, StoreDir, StorePath};
use nix_syntax::PackedTexts;
use rustc_hash::FxHashMap;

use crate::context::ContextElem;
use crate::io::{
    FetchRequest, Fetched, FileType, Ingestion, Io, IoError, LocalTree, PathFilter, Place,
};
use crate::store_paths::StorePaths;

/// Reads from the file system, computes store paths, writes nothing, fetches and builds nothing.
pub struct ComputeIo {
    store_dir: StoreDir,
    system: String,
    environment: bool,
    messages: Option<fn(&str)>,
    /// Their numbers are those of their texts.
    derivations: RefCell<StorePaths>,
    /// Derivations as they would be written: read back seldom.
    texts: RefCell<PackedTexts>,
    references: RefCell<FxHashMap<StorePath, Vec<StorePath>>>,
}

impl ComputeIo {
    /// For the store `/nix/store`, with this machine's system and no environment variables.
    #[must_use]
    pub fn new() -> Self {
        ComputeIo {
            store_dir: StoreDir::default(),
            system: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            environment: false,
            messages: None,
            derivations: RefCell::default(),
            texts: RefCell::default(),
            references: RefCell::default(),
        }
    }

    /// Answer `currentSystem` with `system`.
    #[must_use]
    pub fn with_system(mut self, system: impl Into<String>) -> Self {
        self.system = system.into();
        self
    }

    /// Let `getEnv` see the environment of the process.
    #[must_use]
    pub fn with_environment(mut self) -> Self {
        self.environment = true;
        self
    }

    /// Hand the lines of `trace` and `warn` to `sink`.
    #[must_use]
    pub fn with_messages(mut self, sink: fn(&str)) -> Self {
        self.messages = Some(sink);
        self
    }

    /// The derivations that evaluation has made so far.
    #[must_use]
    pub fn derivation(&self, path: &StorePath) -> Option<Derivation> {
        parse_derivation(&self.derivation_text(path)?, path, &self.store_dir).ok()
    }

    /// What is in the file of a derivation that evaluation has made.
    #[must_use]
    pub fn derivation_text(&self, path: &StorePath) -> Option<Box<[u8]>> {
        let number = self.derivations.borrow().find(path)?;
        self.texts.borrow_mut().get(number as usize).map(Box::from)
    }
}

impl Default for ComputeIo {
    fn default() -> Self {
        Self::new()
    }
}

impl Io for ComputeIo {
    fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        std::fs::read_link(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<(Vec<u8>, FileType)>> {
        read_dir(path)
    }

    fn file_type(&self, path: &Path) -> io::Result<Option<FileType>> {
        file_type(path)
    }

    fn env_var(&self, name: &str) -> Option<Vec<u8>> {
        if !self.environment || name.is_empty() || name.contains(['=', '\0']) {
            return None;
        }
        std::env::var_os(name).map(OsStringExt::into_vec)
    }

    fn current_system(&self) -> String {
        self.system.clone()
    }

    fn current_time(&self) -> i64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |since| since.as_secs() as i64)
    }

    fn store_dir(&self) -> StoreDir {
        self.store_dir.clone()
    }

    fn message(&self, text: &str) {
        if let Some(sink) = self.messages {
            sink(text);
        }
    }

    fn add_text(
        &self,
        name: &str,
        contents: &[u8],
        references: &[StorePath],
    ) -> Result<StorePath, IoError> {
        let path = self.store_dir.build_text_path(name, contents, references).map_err(other)?;
        if !references.is_empty() {
            self.references.borrow_mut().insert(path.clone(), references.to_vec());
        }
        Ok(path)
    }

    fn references(&self, path: &StorePath) -> Result<Vec<StorePath>, IoError> {
        Ok(self.references.borrow().get(path).cloned().unwrap_or_default())
    }

    fn add_path(
        &self,
        name: &str,
        path: &Path,
        ingestion: Ingestion,
        filter: Option<PathFilter<'_>>,
    ) -> Result<StorePath, IoError> {
        Ok(self.hash_path(name, path, ingestion, filter)?.0)
    }

    fn add_derivation(&self, path: &StorePath, text: Vec<u8>) -> Result<(), IoError> {
        // The same path has the same text.
        let mut derivations = self.derivations.borrow_mut();
        if derivations.find(path).is_none() {
            derivations.add(path);
            self.texts.borrow_mut().add(&text);
        }
        Ok(())
    }

    fn is_valid_path(&self, path: &StorePath) -> Result<bool, IoError> {
        let known = self.derivations.borrow().find(path).is_some();
        Ok(known || Path::new(&self.store_dir.render_path(path)).symlink_metadata().is_ok())
    }

    fn realise(&self, context: &[ContextElem]) -> Result<Vec<(ContextElem, StorePath)>, IoError> {
        for elem in context {
            let present = match elem {
                ContextElem::Opaque(path) | ContextElem::DrvDeep(path) => {
                    self.is_valid_path(path)?
                }
                ContextElem::Built { drv, output } => {
                    let outputs = self.derivation(drv).map(|drv| drv.resolved_outputs());
                    match outputs {
                        Some(Ok(outputs)) => {
                            outputs.get(output).and_then(|output| output.path.as_ref()).is_some_and(
                                |path| Path::new(&self.store_dir.render_path(path)).exists(),
                            )
                        }
                        _ => false,
                    }
                }
                ContextElem::Dynamic { .. } => false,
            };
            if !present {
                return Err(IoError::Unsupported(format!(
                    "evaluation needs '{}' to be built, and there is no store to build in",
                    elem.encode(&self.store_dir)
                )));
            }
        }
        Ok(Vec::new())
    }

    fn read_derivation(&self, path: &StorePath) -> Result<Derivation, IoError> {
        if let Some(derivation) = self.derivation(path) {
            return Ok(derivation);
        }
        let file = PathBuf::from(self.store_dir.render_path(path));
        let bytes = std::fs::read(&file).map_err(|source| IoError::File {
            what: "reading the derivation",
            path: file,
            source,
        })?;
        parse_derivation(&bytes, path, &self.store_dir)
    }

    fn fetch(&self, request: &FetchRequest) -> Result<Fetched, IoError> {
        fetch_local(request)
    }
}

fn parse_derivation(
    bytes: &[u8],
    path: &StorePath,
    store_dir: &StoreDir,
) -> Result<Derivation, IoError> {
    let name = path.name().strip_suffix(".drv").unwrap_or(path.name());
    Derivation::from_aterm_bytes_in(bytes, name, store_dir.clone()).map_err(other)
}

/// Only directories of this machine, and only to be read where they lie; nothing is found out about
/// their commits.
fn fetch_local(request: &FetchRequest) -> Result<Fetched, IoError> {
    let input = &request.input;
    let unsupported = || {
        Err(IoError::Unsupported(format!("there is nothing here to fetch '{}'", input.describe())))
    };
    let local = match (input.kind(), input.text("path"), input.text("url")) {
        ("path", Some(path), _) if path.starts_with('/') => {
            LocalTree { path: PathBuf::from(path), files: None }
        }
        ("git", _, Some(url)) if url.starts_with("file:///") && input.text("ref").is_none() => {
            let path = Url::parse(url, false).and_then(|url| url.to_path());
            let path = PathBuf::from(path.map_err(other)?);
            LocalTree { files: git_tracked_files(&path)?, path }
        }
        _ => return unsupported(),
    };
    let mut input = input.clone();
    input.attrs_mut().entry("lastModified".into()).or_insert(RefAttr::Int(0));
    Ok(Fetched { input, place: Place::Local(local), facts: Vec::new() })
}

fn other(error: impl std::fmt::Display) -> IoError {
    IoError::Other(error.to_string())
}

/// The names in a directory with their types.
///
/// # Errors
///
/// As the file system says.
pub fn read_dir(path: &Path) -> io::Result<Vec<(Vec<u8>, FileType)>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        entries.push((entry.file_name().into_vec(), FileType::of(entry.file_type()?)));
    }
    Ok(entries)
}

/// The type of a path, symlinks not followed.
///
/// # Errors
///
/// As the file system says, except that nothing being there is `None`.
pub fn file_type(path: &Path) -> io::Result<Option<FileType>> {
    match path.symlink_metadata() {
        Ok(metadata) => Ok(Some(FileType::of(metadata.file_type()))),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The files of a git work tree that git tracks, relative to `dir`.
///
/// # Errors
///
/// When the directory is in a git tree and `git` cannot be run.
pub fn git_tracked_files(dir: &Path) -> Result<Option<Vec<PathBuf>>, IoError> {
    if !dir.ancestors().any(|ancestor| ancestor.join(".git").exists()) {
        return Ok(None);
    }
    let failed = |source| IoError::File {
        what: "listing the files that git tracks in",
        path: dir.to_owned(),
        source,
    };
    let output = std::process::Command::new("git")
        .arg("-c")
        .arg("safe.directory=*")
        .arg("-C")
        .arg(dir)
        .args(["ls-files", "-z"])
        .output()
        .map_err(failed)?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(failed(io::Error::other(text)));
    }
    let names = output.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(Some(names.map(|name| PathBuf::from(std::ffi::OsStr::from_bytes(name))).collect()))
}

/// The store path and content address of a file or tree, nothing written.
///
/// # Errors
///
/// When it cannot be read.
pub fn hash_path(
    store_dir: &StoreDir,
    name: &str,
    path: &Path,
    ingestion: Ingestion,
    filter: Option<PathFilter<'_>>,
) -> Result<(StorePath, CAHash), IoError> {
    let mut hasher = Hasher(NixHasher::new(HashAlgorithm::Sha256));
    let failed = |source| IoError::File { what: "reading", path: path.to_owned(), source };
    match ingestion {
        Ingestion::Flat => {
            let mut file = std::fs::File::open(path).map_err(failed)?;
            io::copy(&mut file, &mut hasher).map_err(failed)?;
        }
        Ingestion::Recursive => {
            let mut encoder = Encoder::new(&mut hasher).map_err(other)?;
            encode(&mut encoder, None, path, filter)?;
            encoder.finish().map_err(other)?;
        }
    }
    let hash: NixHash = hasher.0.finalize();
    let ca = match ingestion {
        Ingestion::Flat => CAHash::Flat(hash),
        Ingestion::Recursive => CAHash::Nar(hash),
    };
    let path = store_dir
        .build_ca_path(name, &ca, std::iter::empty::<&StorePath>(), false)
        .map_err(other)?;
    Ok((path, ca))
}

struct Hasher(NixHasher);

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn encode<W: Write>(
    encoder: &mut Encoder<W>,
    name: Option<&[u8]>,
    path: &Path,
    filter: Option<PathFilter<'_>>,
) -> Result<(), IoError> {
    let failed = |source| IoError::File { what: "reading", path: path.to_owned(), source };
    let metadata = path.symlink_metadata().map_err(failed)?;
    match FileType::of(metadata.file_type()) {
        FileType::Regular => {
            let executable = metadata.permissions().mode() & 0o100 != 0;
            let mut file = std::fs::File::open(path).map_err(failed)?;
            let mut writer =
                encoder.start_regular(name, executable, metadata.len()).map_err(other)?;
            io::copy(&mut file, &mut writer).map_err(failed)?;
            writer.finish().map_err(other)
        }
        FileType::Symlink => {
            let target = std::fs::read_link(path).map_err(failed)?;
            encoder.symlink(name, target.as_os_str().as_bytes()).map_err(other)
        }
        FileType::Directory => {
            let mut names: Vec<Vec<u8>> =
                read_dir(path).map_err(failed)?.into_iter().map(|(name, _)| name).collect();
            names.sort_unstable();
            encoder.start_directory(name).map_err(other)?;
            for name in &names {
                let child = path.join(std::ffi::OsStr::from_bytes(name));
                if filter.is_none_or(|filter| filter(&child)) {
                    encode(encoder, Some(name), &child, filter)?;
                }
            }
            encoder.end_directory().map_err(other)
        }
        FileType::Unknown => Err(failed(io::Error::other(
            "only regular files, directories and symlinks can be in the store",
        ))),
    }
}
