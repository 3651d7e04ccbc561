//! A program that talks over its standard input and output, and what it says beside.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Lines that are kept of what it said.
const LINES: usize = 20;
/// As much of a line.
const LINE: u64 = 4 << 10;
/// How long it may take to end once it has closed its output.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running program; it is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Arc<Mutex<Child>>,
    said: Arc<Mutex<VecDeque<String>>>,
    listener: Option<JoinHandle<()>>,
}

impl Process {
    pub fn start(command: &mut Command) -> io::Result<(Self, ChildStdout, ChildStdin)> {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (Some(from), Some(to), Some(errors)) =
            (child.stdout.take(), child.stdin.take(), child.stderr.take())
        else {
            unreachable!("all three are pipes")
        };
        let said = Arc::new(Mutex::new(VecDeque::new()));
        let listener = Some(std::thread::spawn({
            let said = Arc::clone(&said);
            move || listen(errors, &said)
        }));
        Ok((Self { child: Arc::new(Mutex::new(child)), said, listener }, from, to))
    }

    /// Something that ends the program, for another thread.
    pub fn killer(&self) -> impl Fn() + Send + Sync + 'static {
        let child = Arc::clone(&self.child);
        move || drop(lock(&child).kill())
    }

    /// Waits for its end, and gives the last lines it wrote to its standard error.
    pub fn last_words(&mut self) -> Vec<String> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end && matches!(lock(&self.child).try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.end();
        lock(&self.said).iter().cloned().collect()
    }

    fn end(&mut self) {
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
        drop(child);
        // What it started may hold its standard error open: that is not waited for.
        if let Some(listener) = self.listener.take() {
            let end = Instant::now() + Duration::from_millis(200);
            while !listener.is_finished() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn listen(errors: ChildStderr, said: &Mutex<VecDeque<String>>) {
    let mut errors = BufReader::new(errors);
    let mut line = Vec::new();
    while matches!((&mut errors).take(LINE).read_until(b'\n', &mut line), Ok(n) if n > 0) {
        let mut said = lock(said);
        let text = plain(&String::from_utf8_lossy(&line));
        if !text.trim().is_empty() {
            said.push_back(text.trim_end().to_owned());
        }
        while said.len() > LINES {
            said.pop_front();
        }
        line.clear();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A text from elsewhere for a terminal: without colours and whatever else could steer it.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            if chars.next_if_eq(&'[').is_some() {
                while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
        } else if !c.is_control() || matches!(c, '\n' | '\t') {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_steer_a_terminal() {
        assert_eq!(plain("\x1b[31;1merror:\x1b[0m a\x07b\tc\n\x1b]0;x\x1b["), "error: ab\tc\n]0;x");
    }

    #[test]
    fn its_last_words_are_known() {
        let script = "seq 100 >&2; echo end >&2; exit 3";
        let (mut process, _from, _to) =
            Process::start(Command::new("sh").args(["-c", script])).unwrap();
        let words = process.last_words();
        assert_eq!(words.len(), LINES);
        assert_eq!(words.last().unwrap(), "end");
    }
}
