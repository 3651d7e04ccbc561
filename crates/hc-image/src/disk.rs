//! Disk images to sparse raw ones.
//!
//! qcow2 is read here, so that backing files are found by what is declared and never by the names in
//! the image, and each part of the file is checked to be used once.

pub mod foreign;
pub mod qcow2;

use crate::builder::{Env, path, text};
use crate::confine;
use crate::error::{Context, Error, Result};
use qcow2::{Cache, Image, Place, Wrong};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Disks are not larger when nothing else is said, in bytes.
pub const SIZE_MAX: u64 = 16 << 40;
/// What one thread takes at a time; a multiple of every cluster size.
const CHUNK: u64 = 8 << 20;
const BUFFER: u64 = 1 << 20;
/// The smallest hole.
const HOLE: usize = 4096;

/// Builds `out/disk.raw`, sparse, from `src`: qcow2 or raw (an ISO image is raw); any other format
/// through `qemuImg`, the path of QEMU's program in the sandbox ([`foreign`]). What is read here is read by a
/// process confined for good; of the others no more than the format's name in the first bytes. `backing` lists the files below a qcow2
/// image, nearest first: the name in the image is never followed. `maxSize` is in bytes.
///
/// # Errors
/// When an attribute is wrong, or an image damaged, hostile, or of a kind that is not read.
pub fn build(env: &Env) -> Result<()> {
    let (source, out) = (path(env, "src")?, path(env, "out")?);
    let wrong = |name: &str, why: String| Error::Attribute { name: name.into(), why };
    let limit = match env.get("maxSize") {
        None => SIZE_MAX,
        Some(text) => text
            .parse()
            .map_err(|_| wrong("maxSize", format!("is `{text}`, not a number of bytes")))?,
    };
    hc_fs::plain::create_dir_all(&out, 0o755)?;
    let target = out.join("disk.raw");
    if let Some(format) = foreign::format(&source)? {
        if !env.contains_key("qemuImg") {
            let why = format!(
                "is missing: {} is a {format} image, which QEMU's qemu-img has to convert; give its path",
                source.display()
            );
            return Err(wrong("qemuImg", why));
        }
        return foreign::convert(&path(env, "qemuImg")?, format, &source, (&target, "raw"), limit);
    }
    let mut files = vec![source];
    if env.contains_key("backing") {
        files.extend(text(env, "backing")?.split_ascii_whitespace().map(PathBuf::from));
    }
    confine::this_process(&files, &[&out], limit)?;
    convert(&files, &target, limit)
}

enum Layer {
    Qcow2(Image),
    Raw(File, u64),
}

/// Writes the disk that `files`, each over the next, are to `target`, with holes where it is zero.
///
/// # Errors
/// As for [`build`].
pub fn convert(files: &[PathBuf], target: &Path, size_max: u64) -> Result<()> {
    let mut layers = Vec::new();
    for (at, file) in files.iter().enumerate() {
        let wrong = |(byte, why): Wrong| damaged(file, byte, why);
        let opened = File::open(file).on("open", file)?;
        let mut magic = [0; 4];
        let is_qcow2 = opened.read_exact_at(&mut magic, 0).is_ok() && magic == *b"QFI\xfb";
        let has_below = at + 1 < files.len();
        if !is_qcow2 {
            if has_below {
                return Err(wrong((0, "a raw image has nothing below it".into())));
            }
            let size = opened.metadata().on("look at", file)?.len();
            if size > size_max {
                return Err(too_large(file, size, size_max));
            }
            layers.push(Layer::Raw(opened, size));
            continue;
        }
        let image = Image::open(opened, size_max).map_err(wrong)?;
        match &image.backing {
            Some(name) if !has_below => {
                let why = format!(
                    "it lies on `{name}`, which is not declared: name the file in `backing`"
                );
                return Err(wrong((8, why)));
            }
            None if has_below => {
                return Err(wrong((8, "it lies on nothing, and `backing` names a file".into())));
            }
            _ => layers.push(Layer::Qcow2(image)),
        }
    }
    let size = match layers.first() {
        Some(Layer::Qcow2(image)) => image.size,
        Some(Layer::Raw(_, size)) => *size,
        None => 0,
    };
    let output = hc_fs::plain::create(target, 0o644)?;
    output.set_len(size).on("set the size of", target)?;
    let job =
        Job { layers: &layers, files, output: &output, target, size, next: AtomicU64::new(0) };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(8);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| job.work())).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(damaged(target, 0, "a thread failed".into())))
        })
    })
}

fn too_large(file: &Path, size: u64, limit: u64) -> Error {
    damaged(file, 0, format!("the disk has {size} bytes; {limit} are allowed (`maxSize`)"))
}

fn damaged(file: &Path, at: u64, why: String) -> Error {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    Error::Input { what: format!("disk {name}"), at, why }
}

struct Job<'a> {
    layers: &'a [Layer],
    files: &'a [PathBuf],
    output: &'a File,
    target: &'a Path,
    size: u64,
    next: AtomicU64,
}

/// What a thread keeps from place to place.
struct Worker {
    caches: Vec<Cache>,
    buffer: Vec<u8>,
    cluster: Vec<u8>,
    unpacked: Option<(usize, u64)>,
}

impl Job<'_> {
    fn work(&self) -> Result<()> {
        let mut worker = Worker {
            caches: self.layers.iter().map(|_| Cache::default()).collect(),
            buffer: Vec::new(),
            cluster: Vec::new(),
            unpacked: None,
        };
        loop {
            let mut at = self.next.fetch_add(CHUNK, Ordering::Relaxed);
            if at >= self.size {
                return Ok(());
            }
            let end = (at + CHUNK).min(self.size);
            while at < end {
                let step = self.step(at, end - at, &mut worker);
                at += step.inspect_err(|_| self.next.store(self.size, Ordering::Relaxed))?;
            }
        }
    }

    /// Writes what is at `at`; says how far that went.
    fn step(&self, at: u64, most: u64, worker: &mut Worker) -> Result<u64> {
        let mut length = most;
        for (level, layer) in self.layers.iter().enumerate() {
            let wrong = |(byte, why): Wrong| damaged(&self.files[level], byte, why);
            match layer {
                Layer::Raw(file, size) => {
                    if at >= *size {
                        return Ok(length);
                    }
                    return self
                        .raw(file, at, length.min(size - at), worker)
                        .on("read", &self.files[level])?;
                }
                Layer::Qcow2(image) => {
                    let (place, run) =
                        image.map(at, length, &mut worker.caches[level]).map_err(wrong)?;
                    length = run;
                    match place {
                        Place::Unallocated => {}
                        Place::Zero => return Ok(length),
                        Place::Data(offset) => {
                            // What lies together is read together.
                            while length < most.min(BUFFER) {
                                let next = image.map(
                                    at + length,
                                    most - length,
                                    &mut worker.caches[level],
                                );
                                match next.map_err(wrong)? {
                                    (Place::Data(o), run) if o == offset + length => length += run,
                                    _ => break,
                                }
                            }
                            length = length.min(BUFFER);
                            worker.buffer.resize(usize::try_from(length).unwrap_or(0), 0);
                            image.data(offset, &mut worker.buffer).map_err(wrong)?;
                            return self.write(&worker.buffer, at).map(|()| length);
                        }
                        Place::Compressed(offset, packed, within) => {
                            if worker.unpacked != Some((level, offset)) {
                                worker.unpacked = None;
                                image
                                    .decompress(offset, packed, &mut worker.cluster)
                                    .map_err(wrong)?;
                                worker.unpacked = Some((level, offset));
                            }
                            let from = usize::try_from(within).unwrap_or(usize::MAX);
                            let part =
                                &worker.cluster[from..from + usize::try_from(length).unwrap_or(0)];
                            return self.write(part, at).map(|()| length);
                        }
                    }
                }
            }
        }
        Ok(length)
    }

    fn raw(
        &self,
        file: &File,
        at: u64,
        most: u64,
        worker: &mut Worker,
    ) -> std::io::Result<Result<u64>> {
        // Holes are not read.
        let data = match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(rustix::io::Errno::NXIO) => return Ok(Ok(most)),
            Err(_) => at,
        };
        if data > at {
            return Ok(Ok((data - at).min(most)));
        }
        worker.buffer.resize(usize::try_from(most.min(BUFFER)).unwrap_or(0), 0);
        file.read_exact_at(&mut worker.buffer, at)?;
        Ok(self.write(&worker.buffer, at).map(|()| worker.buffer.len() as u64))
    }

    /// Leaves out what is zero.
    fn write(&self, bytes: &[u8], at: u64) -> Result<()> {
        let mut start = None;
        let put = |from: &mut Option<usize>, to: usize| {
            from.take().map_or(Ok(()), |from: usize| {
                self.output
                    .write_all_at(&bytes[from..to], at + from as u64)
                    .on("write", self.target)
            })
        };
        for (index, part) in bytes.chunks(HOLE).enumerate() {
            if is_zero(part) {
                put(&mut start, index * HOLE)?;
            } else {
                start.get_or_insert(index * HOLE);
            }
        }
        put(&mut start, bytes.len())
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|b| *b == 0)
}

#[cfg(test)]
mod tests;
