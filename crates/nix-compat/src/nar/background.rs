//! Work on what is written, such as hashing it, by another thread while the next is read.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// What is handed over at once.
const PIECE: usize = 256 << 10;
/// Less than this is done where it is.
const WORTH_IT: u64 = 1 << 20;
/// So many pieces wait at most.
const WAITING: usize = 4;

/// A writer that passes what it gets on to another one, which works on a thread of its own once there
/// is enough to do.
#[derive(Debug)]
pub struct Background<W> {
    piece: Vec<u8>,
    passed: u64,
    state: State<W>,
}

#[derive(Debug)]
enum State<W> {
    Here(W),
    There(Thread<W>),
    /// It failed, and said so.
    Gone,
}

#[derive(Debug)]
struct Thread<W> {
    send: SyncSender<Vec<u8>>,
    /// Pieces that were worked on, to be filled again.
    empty: Receiver<Vec<u8>>,
    handle: JoinHandle<io::Result<W>>,
}

impl<W: Write + Send + 'static> Background<W> {
    /// Passes on to `to`.
    pub fn new(to: W) -> Self {
        Self { piece: Vec::with_capacity(PIECE), passed: 0, state: State::Here(to) }
    }

    /// Waits until all is done; gives the writer.
    ///
    /// # Errors
    /// What the writer said.
    pub fn finish(mut self) -> io::Result<W> {
        self.pass()?;
        match self.state {
            State::Here(to) => Ok(to),
            State::There(thread) => thread.finish(),
            State::Gone => Err(gone()),
        }
    }

    fn pass(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        self.passed += self.piece.len() as u64;
        match std::mem::replace(&mut self.state, State::Gone) {
            State::Here(mut to) => {
                to.write_all(&self.piece)?;
                self.piece.clear();
                let more = self.passed >= WORTH_IT;
                self.state = if more { State::There(Thread::start(to)?) } else { State::Here(to) };
                Ok(())
            }
            State::There(thread) => {
                let next = thread.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(PIECE));
                let full = std::mem::replace(&mut self.piece, next);
                if thread.send.send(full).is_err() {
                    return thread.finish().and_then(|_| Err(gone()));
                }
                self.state = State::There(thread);
                Ok(())
            }
            State::Gone => Err(gone()),
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("what was written before could not be worked on")
}

impl<W: Write + Send + 'static> Thread<W> {
    fn start(mut to: W) -> io::Result<Self> {
        let (send, receive) = sync_channel::<Vec<u8>>(WAITING);
        let (give_back, empty) = sync_channel(WAITING);
        let work = move || {
            for mut piece in receive {
                to.write_all(&piece)?;
                piece.clear();
                let _ = give_back.try_send(piece);
            }
            Ok(to)
        };
        let handle = std::thread::Builder::new().name("hash".into()).spawn(work)?;
        Ok(Self { send, empty, handle })
    }

    fn finish(self) -> io::Result<W> {
        drop(self.send);
        self.handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl<W: Write + Send + 'static> Write for Background<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE {
            self.pass()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes and no more.
    struct Limited(usize, Vec<u8>);

    impl Write for Limited {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.1.len() + bytes.len() > self.0 {
                return Err(io::Error::other("full"));
            }
            self.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn all_of_it_comes_in_order_and_errors_come_back() {
        for length in [0, 1, PIECE, PIECE + 1, 3 << 20] {
            let bytes: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let mut writer = Background::new(Limited(usize::MAX, Vec::new()));
            for part in bytes.chunks(100_001) {
                writer.write_all(part).unwrap();
            }
            assert!(writer.finish().unwrap().1 == bytes, "{length}");
        }
        for limit in [10, 2 << 20] {
            let mut writer = Background::new(Limited(limit, Vec::new()));
            let written = (0..16).try_for_each(|_| writer.write_all(&[1; PIECE]));
            let error = written.and_then(|()| writer.finish().map(drop)).unwrap_err();
            assert_eq!(error.to_string(), "full", "{limit}");
        }
    }
}
