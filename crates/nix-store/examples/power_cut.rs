//! The parts of `checks/nightly/power-cut` that are no shell: work in a store while every write
//! to its disk is recorded, and the disk as it would be had the power gone at some write.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

use nix_store::{Derivation, GcOptions, IngestMethod, Store, StoreConfig, StorePath};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Error, Read, Result, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// The format of dm-log-writes, which QEMU's `blklogwrites` writes too
/// (linux, drivers/md/dm-log-writes.c).
const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const DISCARD: u64 = 4;

const USAGE: &str = "usage: power_cut work ROOT DEVICE ACK-OFFSET STEPS
       power_cut entries LOG
       power_cut cut LOG ENTRY SEED IMAGE
       power_cut acknowledged IMAGE ACK-OFFSET
       power_cut check ROOT PATHS ACKNOWLEDGED";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["work", root, device, offset, steps] => {
            work(Path::new(root), Path::new(device), number(offset)?, number(steps)?)
        }
        ["entries", log] => {
            println!("{}", Log::open(log)?.entries);
            Ok(())
        }
        ["cut", log, entry, seed, image] => cut(log, number(entry)?, number(seed)?, image),
        ["acknowledged", image, offset] => {
            let mut block = [0; 20];
            File::open(image)?.read_exact_at(&mut block, number(offset)?)?;
            let text = String::from_utf8_lossy(&block);
            println!("{}", text.trim_matches(['\0', ' ']).parse::<u64>().unwrap_or(0));
            Ok(())
        }
        ["check", root, paths, acknowledged] => {
            check(Path::new(root), Path::new(paths), number(acknowledged)?)
        }
        _ => Err(Error::other(USAGE)),
    }
}

fn number(text: &str) -> Result<u64> {
    text.parse().map_err(|_| Error::other(format!("{text:?} is no number")))
}

fn open(root: &Path) -> Result<Store> {
    let config = StoreConfig { root: Some(root.into()), ..StoreConfig::default() };
    Store::open(config).map_err(Error::other)
}

/// Adds things of every kind. After each, its number is written to the disk behind the file
/// system, unflushed: when that block is there, what it stands for must be.
fn work(root: &Path, device: &Path, offset: u64, steps: u64) -> Result<()> {
    #[repr(align(4096))]
    struct Block([u8; 4096]);
    let direct = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).map_err(Error::other)?;
    let device = File::options().write(true).custom_flags(direct).open(device)?;
    let store = open(root)?;
    let none = BTreeSet::new();
    for step in 0..steps {
        let made = match step % 5 {
            0 => store.add_text(&format!("text-{step}"), &vec![b'x'; 3000], &none),
            1 | 2 => {
                // More files than are flushed one by one, or fewer.
                let tree = Path::new("/tmp/tree");
                let _ = std::fs::remove_dir_all(tree);
                std::fs::create_dir_all(tree.join("sub"))?;
                for n in 0..if step % 5 == 1 { 5u64 } else { 100 } {
                    let size = usize::try_from(n * step % 40_000).map_err(Error::other)?;
                    std::fs::write(
                        tree.join(format!("sub/{n}")),
                        vec![b'a' + (n % 26) as u8; size],
                    )?;
                }
                std::os::unix::fs::symlink("sub", tree.join("link"))?;
                store.add_path(&format!("tree-{step}"), tree, IngestMethod::Recursive, &none, None)
            }
            3 => {
                let text = format!(
                    r#"Derive([("out","","r:sha256","{:064x}")],[],[],"x86_64-linux","/x",[],[("out","")])"#,
                    step
                );
                let derivation =
                    Derivation::from_aterm_bytes(text.as_bytes(), &format!("d-{step}"));
                match derivation {
                    Ok(derivation) => store.add_derivation(&derivation),
                    Err(_) => store.add_text(&format!("other-{step}"), text.as_bytes(), &none),
                }
            }
            _ => {
                open(root)?
                    .add_text(&format!("garbage-{step}"), &[b'g'; 9000], &none)
                    .map_err(Error::other)?;
                store.gc(&GcOptions::default(), &none).map_err(Error::other)?;
                store.optimise(|_, _| {}).map_err(Error::other)?;
                store.add_text(&format!("after-{step}"), b"", &none)
            }
        };
        println!("{}", made.map_err(Error::other)?);
        std::io::stdout().flush()?;
        let mut block = Block([0; 4096]);
        write!(&mut block.0[..], "{}", step + 1)?;
        device.write_all_at(&block.0, offset)?;
    }
    Ok(())
}

struct Log {
    file: File,
    entries: u64,
    sector: u64,
}

struct Entry {
    sector: u64,
    flags: u64,
    /// Where its data are in the log, and how many.
    data: std::ops::Range<u64>,
    /// Bytes that it concerns: discards have no data.
    length: u64,
}

impl Log {
    fn open(path: &str) -> Result<Self> {
        let file = File::open(path)?;
        let mut head = [0; 28];
        (&file).read_exact(&mut head)?;
        if word(&head, 0) != MAGIC || word(&head, 8) != 1 {
            return Err(Error::other("this is no log of writes"));
        }
        let mut size = [0; 4];
        size.copy_from_slice(&head[24..28]);
        Ok(Self { file, entries: word(&head, 16), sector: u64::from(u32::from_le_bytes(size)) })
    }

    fn read(&self, first: u64) -> Result<Vec<Entry>> {
        let mut at = self.sector;
        let mut all = Vec::new();
        for _ in 0..first {
            let mut head = [0; 32];
            self.file.read_exact_at(&mut head, at)?;
            let (sector, count, flags) = (word(&head, 0), word(&head, 8), word(&head, 16));
            let begin = at + self.sector;
            let length = count * self.sector;
            let stored = if flags & DISCARD == 0 { length } else { 0 };
            all.push(Entry { sector, flags, data: begin..begin + stored, length });
            at = begin + stored;
        }
        Ok(all)
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// Writes what was on the disk for certain when `entry` was reached, which is everything before
/// the last flush, and of what was written since a random part.
fn cut(log: &str, entry: u64, seed: u64, image: &str) -> Result<()> {
    let log = Log::open(log)?;
    let entries = log.read(entry)?;
    let image = File::options().write(true).open(image)?;
    let flushed = entries.iter().rposition(|e| e.flags & FLUSH != 0).unwrap_or(0);
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for (nth, entry) in entries.iter().enumerate() {
        if nth > flushed {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // One cut in four loses nothing, as a disk without a cache of its own.
            if !seed.is_multiple_of(4) && state >> 33 & 1 == 0 {
                continue;
            }
        }
        let mut data = vec![0; usize::try_from(entry.length).map_err(Error::other)?];
        if !entry.data.is_empty() {
            log.file.read_exact_at(&mut data, entry.data.start)?;
        }
        image.write_all_at(&data, entry.sector * log.sector)?;
    }
    Ok(())
}

/// Everything acknowledged is valid, and everything valid is there.
fn check(root: &Path, paths: &Path, acknowledged: u64) -> Result<()> {
    let store = open(root)?;
    let text = std::fs::read_to_string(paths)?;
    let acknowledged = usize::try_from(acknowledged).map_err(Error::other)?;
    for line in text.lines().take(acknowledged) {
        let path: StorePath = line.parse().map_err(Error::other)?;
        if !store.is_valid(&path).map_err(Error::other)? {
            return Err(Error::other(format!("{path} was added, and is lost")));
        }
    }
    for path in store.valid_paths().map_err(Error::other)? {
        store.physical(&path).symlink_metadata()?;
    }
    Ok(())
}
