//! The log of a build: a compressed file where C++ Nix looks for it, its last lines, and whoever
//! listens.

use super::{BuildEvent, BuildObserver};
use crate::error::{Context, Result};
use crate::layout::Layout;
use crate::store::Store;
use bzip2::Compression;
use bzip2::read::MultiBzDecoder;
use bzip2::write::BzEncoder;
use nix_compat::StorePath;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;

const TAIL_LINES: usize = 25;
/// A line that gets longer than this is told in pieces.
const LONGEST_LINE: usize = 16 << 10;
/// An archive of nothing: what a silent build leaves, without setting a compressor up for it.
const EMPTY: [u8; 14] = *b"BZh9\x17\x72\x45\x38\x50\x90\0\0\0\0";

pub(super) struct Log<'a> {
    drv: &'a StorePath,
    observer: &'a dyn BuildObserver,
    pub path: PathBuf,
    file: Option<File>,
    compressed: Option<BzEncoder<File>>,
    line: Vec<u8>,
    tail: VecDeque<String>,
}

impl<'a> Log<'a> {
    pub fn create(
        layout: &Layout,
        drv: &'a StorePath,
        observer: &'a dyn BuildObserver,
    ) -> Result<Self> {
        let path = layout.build_log(drv).with_added_extension("bz2");
        if let Some(directory) = path.parent() {
            hc_fs::plain::create_dir_all(directory, 0o755)?;
        }
        let file = Some(hc_fs::plain::create(&path, 0o644)?);
        let (line, tail) = (Vec::new(), VecDeque::new());
        Ok(Self { drv, observer, path, file, compressed: None, line, tail })
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(file) = self.file.take() {
            self.compressed = Some(BzEncoder::new(file, Compression::best()));
        }
        if let Some(file) = &mut self.compressed {
            file.write_all(bytes).on("write", &self.path)?;
        }
        for &byte in bytes {
            if byte == b'\n' || self.line.len() >= LONGEST_LINE {
                self.end_line();
            }
            if byte != b'\n' {
                self.line.push(byte);
            }
        }
        Ok(())
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.line).trim_end_matches('\r').to_owned();
        self.line.clear();
        self.observer.event(BuildEvent::Log { drv: self.drv, line: &line });
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    /// Completes the file.
    pub fn finish(&mut self) -> Result<()> {
        if !self.line.is_empty() {
            self.end_line();
        }
        if let Some(mut file) = self.file.take() {
            file.write_all(&EMPTY).on("write", &self.path)?;
        }
        match self.compressed.take() {
            Some(file) => file.finish().map(drop).on("write", &self.path),
            None => Ok(()),
        }
    }

    /// The last lines.
    pub fn tail(&mut self) -> String {
        if !self.line.is_empty() {
            self.end_line();
        }
        self.tail.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Log<'_> {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

impl Store {
    /// What the last build of a derivation wrote, where that is known: whoever built it, this
    /// program or C++ Nix.
    ///
    /// # Errors
    /// When it is there and cannot be opened.
    pub fn build_log(&self, drv: &StorePath) -> Result<Option<Box<dyn Read>>> {
        log_of(self.layout(), drv)
    }
}

/// The log of a derivation's last build, from where it is kept.
pub(crate) fn log_of(layout: &Layout, drv: &StorePath) -> Result<Option<Box<dyn Read>>> {
    let plain = layout.build_log(drv);
    let compressed = plain.with_added_extension("bz2");
    for (path, compressed) in [(compressed, true), (plain, false)] {
        match File::open(&path) {
            Ok(file) if compressed => return Ok(Some(Box::new(MultiBzDecoder::new(file)))),
            Ok(file) => return Ok(Some(Box::new(file))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            refused => refused.map(drop).on("open", &path)?,
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_archive_is_one() {
        let mut text = Vec::new();
        MultiBzDecoder::new(&EMPTY[..]).read_to_end(&mut text).unwrap();
        assert!(text.is_empty());
        let made = BzEncoder::new(Vec::new(), Compression::best()).finish().unwrap();
        assert_eq!(made, EMPTY);
    }
}
