//! Kernels to uncompressed ELF files that QEMU starts by their PVH entry, and the modules beside them.

pub mod elf;
pub mod modules;
mod package;

use crate::builder::{Env, path};
use crate::compress::{Format, all};
use crate::confine;
use crate::error::{Context, Error, Result};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// No kernel is larger, packed or unpacked; what is larger is a bomb.
const MAX: u64 = 512 << 20;

/// Confines this process, and builds `out/vmlinux` and `out/kernel.json` from `src`: a bzImage, an ELF file, either of them
/// compressed, or Debian's package of a kernel, which also gives `out/lib/modules/VERSION`.
///
/// # Errors
/// When the kernel is damaged or has no PVH entry.
pub fn build(env: &Env) -> Result<()> {
    let (source, out) = (path(env, "src")?, path(env, "out")?);
    hc_fs::plain::create_dir_all(&out, 0o755)?;
    confine::this_process(std::slice::from_ref(&source), &[&out], MAX)?;
    let file = std::fs::File::open(&source).on("open", &source)?;
    let mut magic = [0; 8];
    let is_package =
        file.read_at(&mut magic, 0).on("read", &source)? == 8 && magic == *b"!<arch>\n";
    let (kernel, version) = if is_package {
        let (kernel, version) = package::unpack(&source, &out)?;
        (kernel, Some(version))
    } else {
        (all(file, MAX).on("read", &source)?, None)
    };
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    let (elf, entry) = unpack(&kernel, &name)?;
    hc_fs::plain::write(&out.join("vmlinux"), &elf, 0o644)?;
    let about = serde_json::json!({ "schema": 1, "version": version, "pvhEntry": entry });
    write_json(&out.join("kernel.json"), &about)
}

pub(crate) fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    Ok(hc_fs::plain::write(path, format!("{value:#}\n").as_bytes(), 0o644)?)
}

/// The ELF file in a kernel of any kind, and its PVH entry.
///
/// # Errors
/// What is wrong with the kernel `name`, and where.
pub fn unpack(kernel: &[u8], name: &str) -> Result<(Vec<u8>, u64)> {
    let wrong = |(at, why): elf::Wrong| Error::Input { what: format!("kernel {name}"), at, why };
    let mut elf = extract(kernel).map_err(wrong)?;
    let inside = |(at, why)| wrong((at, format!("of the unpacked kernel: {why}")));
    let end = elf::end(&elf).map_err(inside)?;
    elf.truncate(usize::try_from(end).unwrap_or(usize::MAX));
    let entry = elf::pvh_entry(&elf).map_err(inside)?.ok_or_else(|| {
        inside((
            0,
            "it has no PVH entry, so QEMU cannot start it: build it with CONFIG_PVH=y".into(),
        ))
    })?;
    Ok((elf, entry))
}

/// Fields of the header: <https://docs.kernel.org/arch/x86/boot.html>.
fn extract(kernel: &[u8]) -> Result<Vec<u8>, elf::Wrong> {
    if kernel.starts_with(b"\x7fELF") {
        return Ok(kernel.to_vec());
    }
    if Format::detect(kernel).is_some() {
        let unpacked = decode(kernel, 0)?;
        return if unpacked.starts_with(b"\x7fELF") || Format::detect(&unpacked).is_some() {
            Ok(unpacked)
        } else {
            extract_bz_image(&unpacked)
        };
    }
    extract_bz_image(kernel)
}

fn extract_bz_image(kernel: &[u8]) -> Result<Vec<u8>, elf::Wrong> {
    let number = |at: usize| {
        let bytes = kernel.get(at..at + 4).and_then(|b| b.try_into().ok());
        bytes.map(u32::from_le_bytes).ok_or((at as u64, "the file is cut off".to_owned()))
    };
    if kernel.get(0x202..0x206) != Some(b"HdrS") {
        return Err((0x202, "neither a bzImage nor an ELF file".into()));
    }
    let version = number(0x206)? & 0xffff;
    if version < 0x208 {
        return Err((0x206, format!("boot protocol {version:#x} is before 2.08 (Linux 2.6.26)")));
    }
    let sectors = match kernel[0x1f1] {
        0 => 4,
        sectors => u64::from(sectors),
    };
    let start = (sectors + 1) * 512 + u64::from(number(0x248)?);
    let end = start + u64::from(number(0x24c)?);
    let payload = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    let payload = payload.and_then(|(start, end)| kernel.get(start..end)).ok_or_else(|| {
        (0x248, format!("the payload is said to be bytes {start} to {end} of {}", kernel.len()))
    })?;
    decode(payload, start)
}

/// A payload that stands at byte `at`. Its last four bytes are the size of what is in it; gzip has
/// them by itself, the others have them behind.
fn decode(payload: &[u8], at: u64) -> Result<Vec<u8>, elf::Wrong> {
    let format = Format::detect(payload)
        .ok_or_else(|| (at, "the payload's compression is not known".to_owned()))?;
    let wrong = |why: std::io::Error| (at, format!("the {format} payload is damaged: {why}"));
    let Some((stream, size)) = payload.split_last_chunk::<4>() else {
        return Err((at, "the payload is cut off".into()));
    };
    let size = u64::from(u32::from_le_bytes(*size));
    let packed_alone = at == 0 && format != Format::Gzip;
    if !packed_alone && size > MAX {
        return Err((
            at,
            format!("the payload says it unpacks to {size} bytes; the limit is {MAX}"),
        ));
    }
    let mut input = if format == Format::Gzip || packed_alone { payload } else { stream };
    let limit = if packed_alone { MAX } else { size };
    let unpacked = all(format.decoder(&mut input).map_err(wrong)?, limit).map_err(wrong)?;
    if !packed_alone && unpacked.len() as u64 != size {
        let why = format!("the payload unpacks to {} bytes and says {size}", unpacked.len());
        return Err((at, why));
    }
    Ok(unpacked)
}

#[cfg(test)]
mod tests;
