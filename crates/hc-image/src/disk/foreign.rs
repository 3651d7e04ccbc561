//! Formats that only QEMU's qemu-img reads: vhdx, vmdk, vdi and dynamic vhd. It runs confined to the file
//! and to where it writes.

use super::{damaged, too_large};
use crate::confine;
use crate::error::{Context, Error, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where vdi has its magic number.
const VDI_AT: usize = 64;

/// The format in qemu-img's words, where it is one of these.
///
/// # Errors
/// When the file cannot be read.
pub fn format(source: &Path) -> Result<Option<&'static str>> {
    let mut head = [0; VDI_AT + 4];
    let length = File::open(source).and_then(|f| f.read_at(&mut head, 0)).on("read", source)?;
    let head = &head[..length];
    let at = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    let all = [
        ("vhdx", at(0, b"vhdxfile")),
        ("vmdk", at(0, b"KDMV")),
        ("vdi", at(VDI_AT, &[0x7f, 0x10, 0xda, 0xbe])),
        ("vpc", at(0, b"conectix")),
    ];
    Ok(all.into_iter().find_map(|(format, is_one)| is_one.then_some(format)))
}

/// Converts the disk at `source` by the qemu-img at `program`, to a file in a format; a disk of more
/// than `limit` bytes is refused before anything is written. The file's directory must have nothing in
/// it that is not qemu-img's to change.
///
/// # Errors
/// When it is too large, lies on another file, or qemu-img refuses it or cannot be confined.
pub fn convert(
    program: &Path,
    format: &str,
    source: &Path,
    (target, to): (&Path, &str),
    limit: u64,
) -> Result<()> {
    let out = target.parent().unwrap_or(target);
    let run = |words: &[&str], more: &[&Path]| {
        let mut command = std::process::Command::new(program);
        command.args(words).args(more);
        let done = confine::output(&mut command, &[source.into()], &[out], limit)?;
        if done.status.success() {
            return Ok(done.stdout);
        }
        Err(Error::Command {
            command: format!("{} {}", program.display(), words.join(" ")),
            status: done.status.to_string(),
            output: String::from_utf8_lossy(&done.stderr).into_owned(),
        })
    };
    // Asked before anything is written.
    let told = run(&["info", "--output=json", "-f", format], &[source])?;
    let told: Told = serde_json::from_slice(&told)
        .map_err(|e| damaged(source, 0, format!("qemu-img does not say how large it is: {e}")))?;
    if told.virtual_size > limit {
        return Err(too_large(source, told.virtual_size, limit));
    }
    if let Some(name) = told.backing_filename {
        let why = format!(
            "it lies on `{name}`: make one file of both with `qemu-img convert` first; only qcow2 \
             images can have `backing`"
        );
        return Err(damaged(source, 0, why));
    }
    run(&["convert", "-f", format, "-O", to, "-S", "4k"], &[source, target])?;
    Ok(())
}

/// What `qemu-img info` says.
#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Told {
    virtual_size: u64,
    backing_filename: Option<String>,
}
