//! Reading an archive's tokens out of a block, as far as it has come.

use crate::nar::Error;
use std::ops::Range;

/// Names and targets have no more bytes than this; systems allow fewer.
const LONGEST: usize = 64 << 10;
/// And this is the longest of the words between them.
const WORD: usize = 16;

/// Why a token could not be read.
#[derive(Debug)]
pub(super) enum Stop {
    /// More bytes are needed.
    More,
    /// It is not an archive.
    Wrong(Error),
}

/// What a directory goes on with.
#[derive(Debug)]
pub(super) enum Item {
    /// Its end.
    End,
    /// An entry of this name.
    Entry(Range<usize>, Node),
}

/// A node, as far as it was read.
#[derive(Debug)]
pub(super) enum Node {
    /// What is in it follows.
    Directory,
    /// A whole symlink.
    Link(Range<usize>),
    /// A file: of one that is small this is all, of others the contents and the end follow.
    File { executable: bool, size: u64, whole: Option<Range<usize>> },
}

/// Where reading is.
#[derive(Debug)]
pub(super) struct Cursor<'b> {
    pub bytes: &'b [u8],
    pub at: usize,
    /// Files up to this size are given whole.
    pub small: u64,
}

impl<'b> Cursor<'b> {
    fn take(&mut self, count: usize) -> Result<Range<usize>, Stop> {
        let range = self.at..self.at + count;
        if range.end > self.bytes.len() {
            return Err(Stop::More);
        }
        self.at = range.end;
        Ok(range)
    }

    fn length(&mut self) -> Result<u64, Stop> {
        let range = self.take(8)?;
        Ok(u64::from_le_bytes(self.bytes[range].try_into().unwrap_or_default()))
    }

    /// Bytes, and the zeros behind them.
    fn padded(&mut self, length: usize) -> Result<Range<usize>, Stop> {
        let range = self.take(length)?;
        self.padding(length as u64)?;
        Ok(range)
    }

    /// The zeros behind so many bytes.
    pub fn padding(&mut self, length: u64) -> Result<(), Stop> {
        let zeros = self.take((length.wrapping_neg() % 8) as usize)?;
        if self.bytes[zeros].iter().any(|byte| *byte != 0) {
            return Err(Stop::Wrong(Error::BadPadding));
        }
        Ok(())
    }

    fn word(&mut self, expected: &'static str) -> Result<&'b [u8], Stop> {
        let length = self.length()?;
        if length > WORD as u64 {
            // What it holds may be anything.
            let got = format!("<{length}-byte token>");
            return Err(Stop::Wrong(Error::UnexpectedToken { expected, got }));
        }
        let range = self.padded(length as usize)?;
        Ok(&self.bytes[range])
    }

    fn words(&mut self, all: &[&'static str]) -> Result<(), Stop> {
        all.iter().try_for_each(|&expected| match self.word(expected)? {
            got if got == expected.as_bytes() => Ok(()),
            got => Err(unexpected(expected, got)),
        })
    }

    fn text(&mut self) -> Result<Range<usize>, Stop> {
        let length = self.length()?;
        if length > LONGEST as u64 {
            let error = Error::TokenTooLarge { size: length, limit: LONGEST };
            return Err(Stop::Wrong(error));
        }
        self.padded(length as usize)
    }

    /// What every archive begins with.
    pub fn magic(&mut self) -> Result<(), Stop> {
        match self.words(&["nix-archive-1"]) {
            Err(Stop::Wrong(_)) => Err(Stop::Wrong(Error::BadMagic)),
            other => other,
        }
    }

    /// The next entry of a directory, or the directory's end.
    pub fn item(&mut self) -> Result<Item, Stop> {
        match self.word("entry or )")? {
            b")" => Ok(Item::End),
            b"entry" => {
                self.words(&["(", "name"])?;
                let name = self.text()?;
                self.words(&["node"])?;
                Ok(Item::Entry(name, self.node(true)?))
            }
            other => Err(unexpected("entry or )", other)),
        }
    }

    /// A node, `inside` a directory or the root.
    pub fn node(&mut self, inside: bool) -> Result<Node, Stop> {
        self.words(&["(", "type"])?;
        match self.word("regular, symlink or directory")? {
            b"directory" => Ok(Node::Directory),
            b"symlink" => {
                self.words(&["target"])?;
                let target = self.text()?;
                self.end(inside)?;
                Ok(Node::Link(target))
            }
            b"regular" => {
                let executable = match self.word("contents")? {
                    b"executable" => {
                        self.words(&["", "contents"])?;
                        true
                    }
                    b"contents" => false,
                    other => return Err(unexpected("contents", other)),
                };
                let size = self.length()?;
                let mut whole = None;
                if size <= self.small {
                    whole = Some(self.padded(size as usize)?);
                    self.end(inside)?;
                }
                Ok(Node::File { executable, size, whole })
            }
            other => Err(unexpected("regular, symlink or directory", other)),
        }
    }

    /// What follows the end of a directory, which is the end of the entry that it is.
    pub fn end_directory(&mut self, inside: bool) -> Result<(), Stop> {
        self.words(if inside { &[")"] } else { &[] })
    }

    /// The end of a node, and of the entry that it is.
    pub fn end(&mut self, inside: bool) -> Result<(), Stop> {
        self.words(if inside { &[")", ")"] } else { &[")"] })
    }
}

fn unexpected(expected: &'static str, got: &[u8]) -> Stop {
    let got = String::from_utf8_lossy(got).into_owned();
    Stop::Wrong(Error::UnexpectedToken { expected, got })
}
