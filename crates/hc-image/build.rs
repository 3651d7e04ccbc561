//! Compiles the first process of virtual machines, and hashes it and the code that makes images into
//! `SOURCE_ID`, from contents and relative names only.

use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;

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
    part(&mut hash, &guest(&crates.parent().expect("the workspace").join("guest/src")));
    let id: String = hash.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect();
    println!("cargo:rustc-env=HC_IMAGE_SOURCE_ID={id}");
}

/// The program of `guest/`, in a file `guest` for this crate to include. It has no dependencies and
/// is built for size whatever profile hc is built with, so that its bytes are the same.
#[allow(clippy::disallowed_methods)] // A build script writes to OUT_DIR alone.
fn guest(source: &Path) -> Vec<u8> {
    println!("cargo:rerun-if-changed={}", source.display());
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let out = PathBuf::from(variable("OUT_DIR")).join("guest");
    if variable("CARGO_CFG_TARGET_ARCH") != "x86_64" {
        // There are no virtual machines of other processors yet.
        std::fs::write(&out, b"").expect("OUT_DIR is writable");
        return Vec::new();
    }
    let mut compile = Command::new(variable("RUSTC"));
    compile.args(["--edition=2024", "--crate-name=guest", "--crate-type=bin", "--target"]);
    compile.arg(variable("TARGET"));
    for option in [
        "opt-level=z",
        "panic=abort",
        "lto=fat",
        "codegen-units=1",
        "strip=symbols",
        "target-feature=+crt-static",
        "relocation-model=static",
        "force-unwind-tables=no",
        "link-arg=-nostartfiles",
        "link-arg=-nostdlib",
        "link-arg=-Wl,--build-id=none,-z,norelro",
    ] {
        compile.args(["-C", option]);
    }
    let linker = variable("RUSTC_LINKER");
    if !linker.is_empty() {
        compile.arg(format!("-Clinker={linker}"));
    }
    compile.arg(format!("--remap-path-prefix={}=guest", source.display()));
    compile.arg("-o").arg(&out).arg(source.join("start.rs"));
    let status = compile.status().expect("cargo names the compiler");
    assert!(status.success(), "the first process of virtual machines does not compile");
    std::fs::read(&out).expect("just written")
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
