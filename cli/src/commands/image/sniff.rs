//! What a file is that somebody wants an image of, by its first bytes. Nothing is unpacked for it.

use crate::error::{Code, Failure};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What images are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A root file system in a tar file, compressed or not
    Tar,
    /// An OCI archive or layout, or what `docker save` writes
    Oci,
    /// A disk: qcow2, raw, ISO, vhdx, vmdk, vdi or dynamic vhd
    Disk,
    /// A kernel: bzImage, ELF, or Debian's package of one
    Kernel,
    /// An initrd: a cpio archive, compressed or not
    Initrd,
}

impl Kind {
    /// The function of `images` in a cloud's modules.
    pub fn function(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::Oci => "oci",
            Self::Disk => "disk",
            Self::Kernel => "kernel",
            Self::Initrd => "initrd",
        }
    }

    /// The option of a machine that it goes into.
    pub fn option(self) -> &'static str {
        match self {
            Self::Tar | Self::Oci | Self::Disk => "image",
            Self::Kernel => "vm.kernel",
            Self::Initrd => "vm.initrd",
        }
    }
}

/// What `file` is.
///
/// # Errors
/// When it cannot be read, or is nothing that an image is made of.
pub fn kind(file: &Path) -> Result<Kind, Failure> {
    let refused = |why: &str, hint: String| {
        let message = format!("{}: {why}", file.display());
        Failure::new(Code::Failed, message).hint(hint)
    };
    if file.is_dir() {
        if ["oci-layout", "manifest.json"].iter().any(|name| file.join(name).is_file()) {
            return Ok(Kind::Oci);
        }
        let hint = format!("pack a root file system: tar -C {} -cf root.tar .", file.display());
        return Err(refused("a directory, and no OCI layout: it has no `oci-layout`", hint));
    }
    let mut head = vec![0; 0x8006];
    let length = read(file, &mut head).map_err(|e| {
        let why = match e.kind() {
            ErrorKind::Unsupported => "it is not a regular file".to_owned(),
            _ => e.to_string(),
        };
        refused(&why, "name an archive, a disk, a kernel or an initrd".to_owned())
    })?;
    head.truncate(length);
    if head.is_empty() {
        return Err(refused("it is empty", "was it copied whole?".to_owned()));
    }
    if head.starts_with(b"# Disk DescriptorFile") {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let hint = format!("qemu-img convert -O qcow2 {} {name}.qcow2", file.display());
        return Err(refused("a vmdk image that names other files: make one of them first", hint));
    }
    of_bytes(&head).ok_or_else(|| {
        let hint = "say what it is with --as, such as --as disk for a raw disk without partitions";
        refused(
            "neither a tar file, an OCI image, a disk, a kernel nor an initrd, by its first bytes",
            hint.to_owned(),
        )
    })
}

fn read(file: &Path, head: &mut [u8]) -> std::io::Result<usize> {
    // A pipe is not waited for.
    if !file.metadata()?.is_file() {
        return Err(ErrorKind::Unsupported.into());
    }
    let (opened, mut done) = (File::open(file)?, 0);
    while done < head.len() {
        match opened.read_at(&mut head[done..], done as u64)? {
            0 => break,
            count => done += count,
        }
    }
    Ok(done)
}

fn of_bytes(head: &[u8]) -> Option<Kind> {
    let at = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    let disks: [(usize, &[u8]); 6] = [
        (0, b"QFI\xfb"),
        (0, b"vhdxfile"),
        (0, b"KDMV"),
        (0, b"conectix"),
        (64, &[0x7f, 0x10, 0xda, 0xbe]),
        (0x8001, b"CD001"),
    ];
    if disks.iter().any(|(offset, magic)| at(*offset, magic)) {
        return Some(Kind::Disk);
    }
    // A kernel's boot sector ends as a disk's does.
    if at(0x202, b"HdrS") || at(0, b"\x7fELF") || at(0, b"!<arch>\n") {
        return Some(Kind::Kernel);
    }
    if at(0, b"07070") {
        return Some(Kind::Initrd);
    }
    let packed: [&[u8]; 5] =
        [b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"BZh", b"\x50\x2a\x4d\x18"];
    if packed.iter().any(|magic| at(0, magic)) {
        return Some(Kind::Tar);
    }
    if is_tar(head) {
        return Some(if begins_as_oci(head) { Kind::Oci } else { Kind::Tar });
    }
    at(510, &[0x55, 0xaa]).then_some(Kind::Disk)
}

/// Whether a header is there with its checksum, as every form of tar has it.
fn is_tar(head: &[u8]) -> bool {
    let Some(header) = head.first_chunk::<512>() else { return false };
    let told = std::str::from_utf8(&header[148..156]).unwrap_or_default();
    let told = told.trim_matches(|c: char| c == '\0' || c == ' ');
    let rest = header[..148].iter().chain(&header[156..]).map(|byte| u32::from(*byte));
    u32::from_str_radix(told, 8).is_ok_and(|told| told == rest.sum::<u32>() + 8 * u32::from(b' '))
}

/// Whether the first name in a plain tar file is one that OCI archives begin with.
fn begins_as_oci(head: &[u8]) -> bool {
    let name = &head[..100.min(head.len())];
    let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
    let name = String::from_utf8_lossy(&name[..end]);
    let first = name.trim_start_matches("./").split('/').next().unwrap_or("");
    let hex = first.trim_end_matches(".json").trim_end_matches(".tar");
    let is_digest = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    is_digest
        || ["blobs", "oci-layout", "index.json", "manifest.json", "repositories"].contains(&first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(name: &str) -> Vec<u8> {
        let mut header = vec![0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        let sum: u32 = header.iter().map(|b| u32::from(*b)).sum::<u32>() + 8 * 32;
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        header
    }

    #[test]
    fn kinds_by_their_first_bytes() {
        let with = |at: usize, magic: &[u8]| {
            let mut bytes = vec![0; at.max(600)];
            bytes.splice(at.., magic.iter().copied());
            bytes
        };
        let mut kernel = with(0x202, b"HdrS");
        kernel.splice(510..512, [0x55, 0xaa]);
        for (bytes, kind) in [
            (tar("./etc/passwd"), Some(Kind::Tar)),
            (tar("oci-layout"), Some(Kind::Oci)),
            (tar("./blobs/sha256/x"), Some(Kind::Oci)),
            (tar(&format!("{}.json", "a".repeat(64))), Some(Kind::Oci)),
            (with(0, b"\x1f\x8b\x08"), Some(Kind::Tar)),
            (with(0, b"QFI\xfb"), Some(Kind::Disk)),
            (with(0, b"KDMV\x01"), Some(Kind::Disk)),
            (with(64, &[0x7f, 0x10, 0xda, 0xbe]), Some(Kind::Disk)),
            (with(0x8001, b"CD001"), Some(Kind::Disk)),
            (with(510, &[0x55, 0xaa]), Some(Kind::Disk)),
            (kernel, Some(Kind::Kernel)),
            (b"!<arch>\n".to_vec(), Some(Kind::Kernel)),
            (b"070701".to_vec(), Some(Kind::Initrd)),
            (b"text".repeat(300), None),
            (b"x".to_vec(), None),
        ] {
            assert_eq!(of_bytes(&bytes), kind, "{:?}", &bytes[..20.min(bytes.len())]);
        }
    }
}
