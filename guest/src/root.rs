//! Finding the root file system and mounting it, with a writable layer above one that has no room.

use crate::superblock;
use crate::sys;
use crate::words::{Disk, Wanted};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, Ordering};

/// Where the finished root is, before it is everything.
pub const ROOT: &str = "/root";
const LOWER: &str = "/lower";
const LAYER: &str = "/layer";
const EROFS: &str = "erofs";
const BLOCK: &str = "/sys/class/block";

/// Disks are there as soon as their driver is, most often; how long to wait for others.
const PATIENCE_MS: u64 = 10_000;
const PAUSE_MS: u64 = 2;

/// What is known and done of the root while the machine waits to be told who it is.
#[derive(Debug)]
pub struct Begun {
    /// The image's file system is mounted.
    below: bool,
    /// The device of what is written over it.
    layer: Option<String>,
}

/// Mounts the read-only root file system of an image, where that is what the root is made of, and finds
/// the disk of the layer over it. Nothing is read of that: it may be another one when the machine goes on.
#[must_use]
pub fn begin(wanted: &Wanted) -> Begun {
    let image = find(wanted).filter(|(_, kind)| kind == EROFS);
    let below = image.is_some_and(|(disk, _)| {
        make(LOWER).is_ok() && sys::mount(&disk, LOWER, EROFS, sys::MS_RDONLY, "").is_ok()
    });
    Begun { below, layer: wanted.layer.as_ref().and_then(device) }
}

/// Mounts what is wanted at [`ROOT`]. `begun`: the host has said who the machine is, and that has to
/// be written somewhere even where nothing else may be; it lasts as long as the machine runs.
///
/// # Errors
/// A sentence: which disk was not there, or what could not be mounted.
pub fn mount(wanted: &Wanted, begun: Option<&Begun>) -> Result<(), String> {
    let known = begun.and_then(|begun| begun.layer.clone());
    if begun.is_some_and(|begun| begun.below) {
        make(ROOT)?;
        return mount_above(wanted, known, LOWER);
    }
    let channel = begun.is_some();
    if channel {
        look_again(wanted);
    }
    let (disk, kind) = patiently(|| find(wanted)).ok_or_else(|| missing(wanted))?;
    let kind = wanted.kind.clone().unwrap_or(kind);
    let at = |target: &str, flags: usize| {
        sys::mount(&disk, target, &kind, flags, "")
            .map_err(|error| format!("cannot mount {disk} ({kind}): {error}"))
    };
    make(ROOT)?;
    if wanted.read_only && !channel {
        return at(ROOT, sys::MS_RDONLY);
    }
    if kind != EROFS && !wanted.read_only {
        return at(ROOT, 0);
    }
    make(LOWER)?;
    at(LOWER, sys::MS_RDONLY)?;
    mount_above(wanted, known, &disk)
}

/// The root: what is mounted below, and a layer above it, on the device `known` if that was found already.
/// `what` is written over.
fn mount_above(wanted: &Wanted, known: Option<String>, what: &str) -> Result<(), String> {
    make(LAYER)?;
    layer(wanted, known)?;
    make(&format!("{LAYER}/upper"))?;
    make(&format!("{LAYER}/work"))?;
    let options = format!("lowerdir={LOWER},upperdir={LAYER}/upper,workdir={LAYER}/work");
    sys::mount("hc", ROOT, "overlay", 0, &options)
        .map_err(|error| format!("cannot put a writable layer over {what}: {error}"))
}

/// Makes the layer whole on its disk, where there is one: its journal is empty when it is mounted next. Nothing
/// can be written to it any more.
pub fn close_layer() {
    const FREEZE: usize = 0xc004_5877; // FIFREEZE
    let top = AT_LAYER.load(Ordering::Relaxed);
    if top > 0 {
        let _ = sys::io::control(&sys::File::inherited(top), FREEZE, &0u32);
    }
}

/// The layer's directory, open: nothing leads there once the root is everything.
static AT_LAYER: AtomicI32 = AtomicI32::new(0);

/// What is written goes to a disk of its own, or is kept in memory.
fn layer(wanted: &Wanted, known: Option<String>) -> Result<(), String> {
    let Some(disk) = wanted.layer.as_ref().filter(|_| !wanted.read_only) else {
        return sys::mount("hc", LAYER, "tmpfs", sys::MS_NODEV, "mode=0755")
            .map_err(|error| format!("cannot make a layer in memory: {error}"));
    };
    // hc's own: to look what it is takes a translated guest longer than to try. Its tables of inodes are holes
    // of a file, which nobody has to fill with zeros.
    let own = sys::MS_NODEV | sys::MS_SILENT;
    let try_own = |path| sys::mount(path, LAYER, "ext4", own, "noinit_itable");
    if known.as_ref().is_some_and(|path| try_own(path).is_ok()) {
        if let Ok(top) = sys::open(LAYER, sys::at::DIRECTORY) {
            AT_LAYER.store(top.keep(), Ordering::Relaxed);
        }
        return Ok(());
    }
    let found = patiently(|| {
        let path = known.clone().or_else(|| device(disk))?;
        Some((kind_of(&path)?, path))
    });
    let (kind, path) = found.ok_or_else(|| {
        format!("hc.layer= names {}, which is not there or has no file system", show(disk))
    })?;
    sys::mount(&path, LAYER, &kind, sys::MS_NODEV, "")
        .map_err(|error| format!("cannot mount {path} ({kind}): {error}"))
}

/// Has the kernel read the root's partitions anew: a machine that was saved goes on with another disk than
/// it came up with.
fn look_again(wanted: &Wanted) {
    const READ_PARTITIONS: usize = 0x125f; // BLKRRPART
    let disk = wanted.root.as_ref().and_then(device);
    if let Some(disk) = disk.and_then(|path| sys::open(&path, sys::READ).ok()) {
        // One that cannot have any refuses.
        let _ = sys::io::control(&disk, READ_PARTITIONS, &0u64);
    }
}

fn make(path: &str) -> Result<(), String> {
    sys::mkdir(path).map_err(|error| format!("cannot make {path}: {error}"))
}

/// Looks again and again, for what takes a moment to be there.
pub fn patiently<T>(look: impl Fn() -> Option<T>) -> Option<T> {
    for _ in 0..PATIENCE_MS / PAUSE_MS {
        if let Some(found) = look() {
            return Some(found);
        }
        sys::sleep_ms(PAUSE_MS);
    }
    look()
}

/// The root's device and what file system it has.
fn find(wanted: &Wanted) -> Option<(String, String)> {
    if let Some(disk) = &wanted.root {
        let path = device(disk)?;
        let kind = |path: &str| wanted.kind.clone().or_else(|| kind_of(path));
        // Most systems have their root on the largest of their partitions.
        let parts = partitions(path.strip_prefix("/dev/")?);
        if parts.is_empty() {
            return Some((path.clone(), kind(&path)?));
        }
        return parts.into_iter().find_map(|path| Some((path.clone(), kind(&path)?)));
    }
    // The layer is a file system too, and not the one.
    let layer = wanted.layer.as_ref().and_then(device);
    candidates(sys::list(BLOCK).ok()?)
        .into_iter()
        .map(|name| format!("/dev/{name}"))
        .filter(|path| Some(path) != layer.as_ref())
        .find_map(|path| {
            let kind = kind_of(&path)?;
            Some((path, kind))
        })
}

/// Disks in the order of their names, partitions behind their disk; nothing that is made of memory.
fn candidates(mut names: Vec<String>) -> Vec<String> {
    names.retain(|name| {
        !["loop", "ram", "zram", "sr", "fd", "dm-"].iter().any(|p| name.starts_with(p))
    });
    // vda, vda1, vda2, vda10, vdb; vdaa comes after vdz.
    names.sort_by_key(|name| {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = name[stem.len()..].parse::<u32>().unwrap_or(0);
        (stem.len(), String::from(stem), number)
    });
    names
}

/// The partitions of a disk, the largest first.
fn partitions(disk: &str) -> Vec<String> {
    let text = |name: &str, what: &str| {
        let text = sys::read(&format!("{BLOCK}/{name}/{what}")).ok()?;
        String::from_utf8_lossy(text.trim_ascii()).parse::<u64>().ok()
    };
    let of_disk = |name: &String| name.starts_with(disk) && text(name, "partition").is_some();
    let mut names = candidates(sys::list(BLOCK).unwrap_or_default());
    names.retain(of_disk);
    names.sort_by_key(|name| core::cmp::Reverse(text(name, "size")));
    names.into_iter().map(|name| format!("/dev/{name}")).collect()
}

/// The disk's path in `/dev`.
#[must_use]
pub fn device(disk: &Disk) -> Option<String> {
    let name = match disk {
        Disk::Name(name) => name.clone(),
        Disk::Serial(serial) => sys::list(BLOCK).ok()?.into_iter().find(|name| {
            sys::read(&format!("{BLOCK}/{name}/serial"))
                .is_ok_and(|found| found.trim_ascii() == serial.as_bytes())
        })?,
    };
    let path = format!("/dev/{name}");
    sys::exists(&path).then_some(path)
}

/// The file system on a disk.
#[must_use]
pub fn kind_of(path: &str) -> Option<String> {
    let file = sys::open(path, sys::READ).ok()?;
    let mut bytes = vec![0; superblock::LENGTH];
    let length = sys::read_at(&file, &mut bytes, 0).ok()?;
    superblock::kind(&bytes[..length]).map(String::from)
}

fn show(disk: &Disk) -> String {
    match disk {
        Disk::Name(name) => format!("/dev/{name}"),
        Disk::Serial(serial) => format!("the disk with the serial number {serial}"),
    }
}

fn missing(wanted: &Wanted) -> String {
    let there = candidates(sys::list(BLOCK).unwrap_or_default()).join(" ");
    let what = wanted.root.as_ref().map_or_else(
        || "no disk has a file system".into(),
        |disk| format!("{} is not there or has no file system", show(disk)),
    );
    format!("no root: {what}; there are: {}", if there.is_empty() { "no disks" } else { &there })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_come_in_order_and_partitions_behind_them() {
        let names = ["loop0", "sr0", "vdb", "vda10", "vdaa", "vda2", "vda", "ram1"];
        let sorted = candidates(names.map(String::from).to_vec());
        assert_eq!(sorted, ["vda", "vda2", "vda10", "vdb", "vdaa"]);
    }
}
