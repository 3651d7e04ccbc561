//! Initrds as one plain cpio archive: foreign ones unpacked, or hc's own with the first process of a
//! virtual machine and the modules it needs.

pub mod cpio;

use crate::builder::{Env, path, text};
use crate::compress::Format;
use crate::confine;
use crate::error::{Context, Error, Result};
use crate::kernel::modules::Modules;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// No initrd unpacks to more.
const MAX: u64 = 2 << 30;

/// hc's first process of a virtual machine: a static program, from `guest/`.
pub const GUEST: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest"));

/// What a machine type needs beside what its kernel has built in. `-`: not every kernel has it.
const COMMON: [&str; 8] = [
    "virtio_blk",
    "virtio_net",
    "virtio_console",
    "-virtio_rng",
    "-virtio_balloon",
    "erofs",
    "overlay",
    "ext4",
];
const VSOCK: &str = "-vmw_vsock_virtio_transport";

/// Confines this process, and builds `out/initrd`, and `out/initrd.json`, which names hc's modules. With
/// `src`, of those initrds, one after the other; with `kernel`, an output of the builder `kernel`, hc's
/// own for the type in `machine` (`microvm` or `q35`), with the modules named in `modules` too, and the
/// text in `config` as `/hc/config`.
///
/// # Errors
/// When an attribute is wrong, an initrd damaged, or a module missing.
pub fn build(env: &Env) -> Result<()> {
    let out = path(env, "out")?;
    hc_fs::plain::create_dir_all(&out, 0o755)?;
    let inputs: Vec<PathBuf> = match env.get("src") {
        Some(_) => text(env, "src")?.split_ascii_whitespace().map(PathBuf::from).collect(),
        None => vec![path(env, "kernel")?],
    };
    confine::this_process(&inputs, &[&out], MAX)?;
    let target = out.join("initrd");
    let file = BufWriter::new(hc_fs::plain::create(&target, 0o644)?);
    let mut writer = cpio::Writer::new(file, MAX);
    let mut modules = Vec::new();
    if env.contains_key("src") {
        for source in inputs {
            let input = BufReader::new(std::fs::File::open(&source).on("open", &source)?);
            let name = source.file_name().unwrap_or_default().to_string_lossy();
            plain(input, &format!("initrd {name}"), &mut writer)?;
        }
    } else {
        modules = own(&inputs[0], env, &mut writer)?;
    }
    let about = serde_json::json!({ "schema": 1, "modules": modules });
    crate::kernel::write_json(&out.join("initrd.json"), &about)?;
    writer.finish().on("write", &target)?;
    Ok(())
}

fn own<W: Write>(kernel: &Path, env: &Env, writer: &mut cpio::Writer<W>) -> Result<Vec<String>> {
    let bus = match text(env, "machine")? {
        "microvm" => "virtio_mmio",
        "q35" => "virtio_pci",
        other => {
            let why = format!("is `{other}`; there are `microvm` and `q35`");
            return Err(Error::Attribute { name: "machine".into(), why });
        }
    };
    let mut wanted = vec![bus];
    wanted.extend(COMMON);
    wanted.push(VSOCK);
    wanted.extend(env.get("modules").map_or("", String::as_str).split_ascii_whitespace());
    let mut list = Vec::new();
    let put = |writer: &mut cpio::Writer<W>, name: &str, mode: u32, bytes: &[u8]| {
        writer.add(name, mode, bytes).on("write", Path::new(name))
    };
    put(writer, "hc", 0o040_755, b"")?;
    put(writer, "hc/modules", 0o040_755, b"")?;
    if let Some(root) = module_tree(kernel)? {
        let modules = Modules::read(&root)?;
        for load in modules.order(&wanted)? {
            let name = format!("{}.ko", load.name);
            put(writer, &format!("hc/modules/{name}"), 0o100_644, &modules.bytes(&load.name)?)?;
            list.push(format!("{}{name}", if load.may_fail { "-" } else { "" }));
        }
    }
    let text: String = list.iter().map(|line| format!("{line}\n")).collect();
    put(writer, "hc/modules.list", 0o100_644, text.as_bytes())?;
    if let Some(config) = env.get("config") {
        put(writer, "hc/config", 0o100_644, config.as_bytes())?;
    }
    put(writer, "init", 0o100_755, GUEST)?;
    Ok(list)
}

/// A kernel with everything built in has none.
fn module_tree(kernel: &Path) -> Result<Option<PathBuf>> {
    let all = kernel.join("lib/modules");
    if !all.is_dir() {
        return Ok(None);
    }
    let mut entries = std::fs::read_dir(&all).on("list", &all)?;
    Ok(entries.next().transpose().on("list", &all)?.map(|entry| entry.path()))
}

/// Copies every archive in `input`, compressed or not, to `writer`; zeros may be between them.
///
/// # Errors
/// When one is damaged or hostile.
pub fn plain<W: Write>(
    mut input: impl BufRead,
    what: &str,
    writer: &mut cpio::Writer<W>,
) -> Result<()> {
    let mut at = 0;
    loop {
        let wrong = |at: u64, why: String| Error::Input { what: what.into(), at, why };
        let damaged = |e: std::io::Error| wrong(at, e.to_string());
        let buffer = input.fill_buf().map_err(damaged)?;
        let Some(first) = buffer.first() else { return Ok(()) };
        if *first == 0 {
            let zeros = buffer.iter().take_while(|b| **b == 0).count();
            input.consume(zeros);
            at += zeros as u64;
        } else if buffer.starts_with(b"0707") {
            at = writer.copy(&mut input, what, at)?;
        } else if let Some(format) = Format::detect(buffer) {
            // The kernel takes archives and zeros in a compressed part, and nothing compressed again.
            let decoder = format.decoder(&mut input).map_err(damaged)?;
            let inside = format!("{what}, {format} part at {at}");
            let mut decoder = BufReader::with_capacity(1 << 16, decoder);
            while !decoder.fill_buf().map_err(damaged)?.is_empty() {
                if decoder.buffer()[0] == 0 {
                    decoder.consume(1);
                } else {
                    writer.copy(&mut decoder, &inside, 0)?;
                }
            }
        } else {
            return Err(wrong(at, "neither a cpio archive nor a compressed one".into()));
        }
    }
}

#[cfg(test)]
mod tests;
