//! The log of a build: a file, its last lines, and whoever listens.

use super::{BuildEvent, BuildObserver};
use crate::error::{Context, Result};
use crate::layout::Layout;
use nix_compat::StorePath;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

const TAIL_LINES: usize = 20;
/// A line that gets longer than this is told in pieces.
const LONGEST_LINE: usize = 16 << 10;

pub(super) struct Log<'a> {
    drv: &'a StorePath,
    observer: &'a dyn BuildObserver,
    pub path: PathBuf,
    file: File,
    line: Vec<u8>,
    tail: VecDeque<String>,
}

impl<'a> Log<'a> {
    pub fn create(
        layout: &Layout,
        drv: &'a StorePath,
        observer: &'a dyn BuildObserver,
    ) -> Result<Self> {
        let path = layout.build_log(drv);
        if let Some(directory) = path.parent() {
            hc_fs::plain::create_dir_all(directory, 0o755)?;
        }
        let file = hc_fs::plain::create(&path, 0o644)?;
        Ok(Self { drv, observer, path, file, line: Vec::new(), tail: VecDeque::new() })
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).on("write", &self.path)?;
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

    /// The last lines.
    pub fn tail(&mut self) -> String {
        if !self.line.is_empty() {
            self.end_line();
        }
        self.tail.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}
