use super::{Stream, current, previous};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const LARGEST: u64 = 8 << 20;
const LONGEST_LINE: usize = 16 << 10;

/// Appends to a machine's log.
#[derive(Debug)]
pub(crate) struct Writer {
    dir: PathBuf,
    file: File,
    size: u64,
    largest: u64,
    /// Beginnings of lines of standard output and error.
    begun: [Vec<u8>; 2],
}

impl Writer {
    pub fn open(dir: &Path) -> hc_fs::Result<Self> {
        Self::with_limit(dir, LARGEST)
    }

    fn with_limit(dir: &Path, largest: u64) -> hc_fs::Result<Self> {
        hc_fs::plain::create_dir_all(dir, 0o750)?;
        let file = hc_fs::plain::append(&current(dir), 0o640)?;
        let size = file.metadata().map_or(0, |metadata| metadata.len());
        Ok(Self { dir: dir.into(), file, size, largest, begun: [Vec::new(), Vec::new()] })
    }

    /// A line of hc's own.
    pub fn say(&mut self, text: &str) {
        let mut out = Vec::new();
        for line in text.lines() {
            put(&mut out, now_us(), Stream::Hc, line.as_bytes());
        }
        self.write(&out);
    }

    /// Bytes the payload wrote, cut anywhere.
    pub fn feed(&mut self, stream: Stream, bytes: &[u8]) {
        let begun = &mut self.begun[usize::from(stream == Stream::Err)];
        let (now, mut out) = (now_us(), Vec::with_capacity(bytes.len() + 64));
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            begun.extend_from_slice(text);
            while begun.len() > LONGEST_LINE {
                let rest = begun.split_off(LONGEST_LINE);
                put(&mut out, now, stream, begun);
                *begun = rest;
            }
            if ended {
                put(&mut out, now, stream, begun);
                begun.clear();
            }
        }
        self.write(&out);
    }

    /// Writes lines that were begun and will not be ended.
    pub fn end(&mut self) {
        for stream in [Stream::Out, Stream::Err] {
            if !self.begun[usize::from(stream == Stream::Err)].is_empty() {
                self.feed(stream, b"\n");
            }
        }
    }

    /// A log that cannot be written must not stop the machine.
    fn write(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        if self.size + lines.len() as u64 > self.largest && self.size > 0 {
            let rotated = hc_fs::plain::rename(&current(&self.dir), &previous(&self.dir))
                .and_then(|()| hc_fs::plain::append(&current(&self.dir), 0o640));
            if let Ok(file) = rotated {
                (self.file, self.size) = (file, 0);
            }
        }
        if self.file.write_all(lines).is_ok() {
            self.size += lines.len() as u64;
        }
    }
}

fn put(out: &mut Vec<u8>, time_us: u64, stream: Stream, text: &[u8]) {
    out.extend_from_slice(format!("{time_us} {} ", stream.letter()).as_bytes());
    out.extend_from_slice(text);
    out.push(b'\n');
}

fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::{Line, tail};
    use super::*;

    fn texts(dir: &Path) -> Vec<(char, String)> {
        let text = |line: Line| String::from_utf8_lossy(&line.text).into_owned();
        let lines = tail(dir, 100_000).unwrap();
        lines.into_iter().map(|line| (line.stream.letter(), text(line))).collect()
    }

    #[test]
    fn lines_are_put_together_per_stream() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Writer::open(dir.path()).unwrap();
        log.feed(Stream::Out, b"hel");
        log.feed(Stream::Err, b"oops\n");
        log.feed(Stream::Out, b"lo\n\nwor");
        log.say("two\nlines");
        log.end();
        let expected =
            [('e', "oops"), ('o', "hello"), ('o', ""), ('h', "two"), ('h', "lines"), ('o', "wor")];
        assert_eq!(texts(dir.path()), expected.map(|(letter, text)| (letter, text.to_owned())));
    }

    #[test]
    fn long_lines_are_cut_and_nothing_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Writer::open(dir.path()).unwrap();
        log.feed(Stream::Out, &vec![b'x'; 40 << 10]);
        log.end();
        let lengths: Vec<_> = texts(dir.path()).iter().map(|(_, text)| text.len()).collect();
        assert_eq!(lengths, [16 << 10, 16 << 10, 8 << 10]);
    }

    #[test]
    fn one_old_file_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Writer::with_limit(dir.path(), 1000).unwrap();
        for i in 0..200 {
            log.feed(Stream::Out, format!("line {i}\n").as_bytes());
        }
        let lines = texts(dir.path());
        assert!(lines.len() < 100 && lines.last().unwrap().1 == "line 199");
        assert!(
            lines.windows(2).all(|pair| pair[0] < pair[1] || pair[0].1.len() < pair[1].1.len())
        );
        for file in [current(dir.path()), previous(dir.path())] {
            assert!(file.metadata().unwrap().len() <= 1000);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
        // A new writer goes on where the last one stopped.
        Writer::open(dir.path()).unwrap().say("again");
        assert_eq!(texts(dir.path()).last().unwrap().1, "again");
    }
}
