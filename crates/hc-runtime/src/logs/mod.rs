//! A machine's log: what it wrote and what hc did with it, one line each.
//!
//! `<µs since 1970> <o|e|h> <text>`: standard output, standard error, hc itself. The text is what
//! was written, byte for byte, without the newline; lines longer than 16 KiB are cut into several.
//! `log/current` is renamed to `log/previous` when it passes 8 MiB.

mod follow;
mod writer;

pub use follow::Follow;
pub(crate) use writer::Writer;

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

/// The file that grows.
#[must_use]
pub fn current(log_dir: &Path) -> PathBuf {
    log_dir.join("current")
}

/// The one before it.
#[must_use]
pub fn previous(log_dir: &Path) -> PathBuf {
    log_dir.join("previous")
}

/// Who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output of the payload.
    Out,
    /// Standard error of the payload.
    Err,
    /// The supervisor.
    Hc,
}

impl Stream {
    /// Its letter in the file.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Out => 'o',
            Self::Err => 'e',
            Self::Hc => 'h',
        }
    }
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When, in microseconds since 1970.
    pub time_us: u64,
    /// Who said it.
    pub stream: Stream,
    /// What, without the newline.
    pub text: Vec<u8>,
}

impl Line {
    /// Reads one line, with or without its newline; `None` when it is not of this form.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let mut parts = line.splitn(3, |byte| *byte == b' ');
        let time = parts.next().filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
        let time_us = str::from_utf8(time).ok()?.parse().ok()?;
        let stream = match parts.next()? {
            b"o" => Stream::Out,
            b"e" => Stream::Err,
            b"h" => Stream::Hc,
            _ => return None,
        };
        Some(Self { time_us, stream, text: parts.next()?.to_vec() })
    }
}

/// The last `most` lines, from both files, oldest first. No log is no lines.
///
/// # Errors
/// When a file is there and cannot be read.
pub fn tail(log_dir: &Path, most: usize) -> io::Result<Vec<Line>> {
    let mut lines = std::collections::VecDeque::new();
    for path in [previous(log_dir), current(log_dir)] {
        let file = match std::fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            if let Some(parsed) = Line::parse(&line).filter(|_| line.ends_with(b"\n")) {
                lines.push_back(parsed);
                if lines.len() > most {
                    lines.pop_front();
                }
            }
            line.clear();
        }
    }
    Ok(lines.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_line_is_none() {
        for bad in ["", "1", "1 o", "x o y", "1 z y", "-1 o y", "99999999999999999999999 o x"] {
            assert_eq!(Line::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn lines_are_read_as_written(time_us: u64, text in "[^\n]{0,40}") {
            for stream in [Stream::Out, Stream::Err, Stream::Hc] {
                let line = Line { time_us, stream, text: text.clone().into_bytes() };
                let written = format!("{time_us} {} {text}\n", stream.letter());
                prop_assert_eq!(Line::parse(written.as_bytes()), Some(line));
            }
        }
    }
}
