//! Single operations on a store, for `checks/bench/store.sh`.

use nix_compat::nar;
use nix_store::{IngestMethod, Store, StoreConfig};
use std::collections::BTreeSet;
use std::io::{BufReader, Error, Result, Write};
use std::path::Path;

const USAGE: &str = "usage: store dump PATH | restore PATH | hash PATH | add ROOT PATH";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["dump", path] => {
            let mut out = std::io::BufWriter::with_capacity(256 << 10, std::io::stdout().lock());
            nar::dump(Path::new(path), &mut out).map_err(Error::other)?;
            out.flush()
        }
        ["restore", path] => {
            let mut from = BufReader::with_capacity(256 << 10, std::io::stdin().lock());
            nar::restore(&mut from, Path::new(path)).map_err(Error::other)
        }
        ["hash", path] => {
            let hash = nar::hash_path(Path::new(path)).map_err(Error::other)?;
            writeln!(std::io::stdout(), "{}", hash.size)
        }
        ["add", root, path] => {
            let config = StoreConfig { root: Some(root.into()), ..StoreConfig::default() };
            let store = Store::open(config).map_err(Error::other)?;
            let path = Path::new(path);
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let none = BTreeSet::new();
            let added = store.add_path(&name, path, IngestMethod::Recursive, &none, None);
            writeln!(std::io::stdout(), "{}", added.map_err(Error::other)?)
        }
        _ => Err(Error::other(USAGE)),
    }
}
