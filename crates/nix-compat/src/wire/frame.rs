//! Streams within a connection: pieces with their length before them, ended by an empty one.

use std::io::{self, Read, Write};

/// Pieces are at most this large when we write them.
const PIECE: usize = 64 << 10;

/// Reads a stream; it ends where the stream does, and leaves what follows it unread.
#[derive(Debug)]
pub struct FramedReader<R> {
    from: R,
    left: u64,
    ended: bool,
}

impl<R: Read> FramedReader<R> {
    /// The stream begins with the next byte.
    pub const fn new(from: R) -> Self {
        Self { from, left: 0, ended: false }
    }

    /// Skips what is left of the stream, so that the connection can be used on.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn finish(&mut self) -> io::Result<()> {
        let mut buffer = [0; 8 << 10];
        while self.read(&mut buffer)? > 0 {}
        Ok(())
    }
}

impl<R: Read> Read for FramedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            let mut length = [0; 8];
            self.from.read_exact(&mut length)?;
            self.left = u64::from_le_bytes(length);
            if self.left == 0 {
                self.ended = true;
                return Ok(0);
            }
        }
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let got = self.from.read(&mut buffer[..wanted])?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= got as u64;
        Ok(got)
    }
}

/// Writes a stream in pieces.
#[derive(Debug)]
pub struct FramedWriter<W: Write> {
    to: W,
    piece: Vec<u8>,
}

impl<W: Write> FramedWriter<W> {
    /// Begins a stream.
    pub const fn new(to: W) -> Self {
        Self { to, piece: Vec::new() }
    }

    /// Ends the stream. One that is dropped without it leaves the connection unusable.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn finish(mut self) -> io::Result<()> {
        self.send()?;
        self.to.write_all(&0_u64.to_le_bytes())
    }

    fn send(&mut self) -> io::Result<()> {
        if !self.piece.is_empty() {
            self.to.write_all(&(self.piece.len() as u64).to_le_bytes())?;
            self.to.write_all(&self.piece)?;
            self.piece.clear();
        }
        Ok(())
    }
}

impl<W: Write> Write for FramedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()?;
        self.to.flush()
    }
}
