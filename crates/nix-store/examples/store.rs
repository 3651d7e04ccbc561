//! Single operations on a store, for `checks/bench/store.sh`.

use nix_compat::nar;
use nix_store::copy::{Trust, copy_closure};
use nix_store::{IngestMethod, Store, StoreConfig, StorePath};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Error, Result, Write};
use std::os::fd::AsFd;
use std::path::Path;

const USAGE: &str = "usage: store dump PATH | restore PATH | hash PATH | add ROOT PATH |
       closure ROOT PATH… (adds all, and a text that refers to them) | copy ROOT TO-ROOT PATH";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["dump", path] => {
            nar::dump(Path::new(path), &mut raw(std::io::stdout())?).map_err(Error::other)
        }
        ["restore", path] => {
            let mut from = raw(std::io::stdin())?;
            nar::restore(&mut from, Path::new(path)).map_err(Error::other)
        }
        ["hash", path] => {
            let hash = nar::hash_path(Path::new(path)).map_err(Error::other)?;
            writeln!(std::io::stdout(), "{}", hash.size)
        }
        ["add", root, path] => {
            writeln!(std::io::stdout(), "{}", add(&open(root)?, Path::new(path))?)
        }
        ["closure", root, paths @ ..] => {
            let store = open(root)?;
            let added = paths.iter().map(|path| add(&store, Path::new(path)));
            let added = added.collect::<Result<BTreeSet<StorePath>>>()?;
            let text = store.add_text("closure", b"all of them", &added).map_err(Error::other)?;
            writeln!(std::io::stdout(), "{text}")
        }
        ["copy", from, to, path] => {
            let paths = BTreeSet::from([path.parse::<StorePath>().map_err(Error::other)?]);
            let trust = Trust { keys: Vec::new(), required: false };
            let copied = copy_closure(&open(from)?, &open(to)?, &paths, &trust, &());
            writeln!(std::io::stdout(), "{}", copied.map_err(Error::other)?.len())
        }
        _ => Err(Error::other(USAGE)),
    }
}

fn open(root: &str) -> Result<Store> {
    let config = StoreConfig { root: Some(root.into()), ..StoreConfig::default() };
    Store::open(config).map_err(Error::other)
}

fn add(store: &Store, path: &Path) -> Result<StorePath> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let none = BTreeSet::new();
    store.add_path(&name, path, IngestMethod::Recursive, &none, None).map_err(Error::other)
}

/// Archives come and go in large pieces: no buffer is needed.
fn raw(stream: impl AsFd) -> Result<File> {
    Ok(File::from(stream.as_fd().try_clone_to_owned()?))
}
