//! Hashes the code that makes images into `SOURCE_ID`, from contents and relative names only.

use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

fn main() {
    let here = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let crates = here.parent().expect("crates/").to_path_buf();
    let mut files = Vec::new();
    for member in ["hc-image", "hc-fs"] {
        sources(&crates.join(member).join("src"), &mut files);
        files.push(crates.join(member).join("Cargo.toml"));
    }
    files.sort();
    let mut hash = Sha256::new();
    for file in &files {
        let name =
            file.strip_prefix(&crates).expect("below crates/").to_string_lossy().into_owned();
        part(&mut hash, name.as_bytes());
        part(&mut hash, &std::fs::read(file).unwrap_or_default());
        println!("cargo:rerun-if-changed={}", file.display());
    }
    for member in ["hc-image", "hc-fs"] {
        println!("cargo:rerun-if-changed={}", crates.join(member).join("src").display());
    }
    // Of the workspace's table only what these crates use: another crate's upgrade is no reason
    // to build every image anew.
    let own = std::fs::read_to_string(here.join("Cargo.toml")).unwrap_or_default();
    let root = crates.parent().expect("the workspace").join("Cargo.toml");
    println!("cargo:rerun-if-changed={}", root.display());
    let root = std::fs::read_to_string(root).unwrap_or_default();
    for used in own.lines().filter_map(|l| l.strip_suffix(".workspace = true")) {
        let key = format!("{used} = ");
        root.lines().filter(|l| l.starts_with(&key)).for_each(|l| part(&mut hash, l.as_bytes()));
    }
    let id: String = hash.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect();
    println!("cargo:rustc-env=HC_IMAGE_SOURCE_ID={id}");
}

/// Rust files below `dir`, without those that hold nothing but tests.
fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(dir).map(|d| d.flatten().collect::<Vec<_>>());
    for entry in entries.unwrap_or_default() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            into.push(path);
        }
    }
}

/// With its length, so that no two lists of parts hash alike by accident.
fn part(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}
