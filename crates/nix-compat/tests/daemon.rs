//! The worker protocol with a real Nix daemon, over its standard input and output.
#![allow(clippy::disallowed_methods)]

use nix_compat::StorePath;
use nix_compat::wire::{FramedWriter, Reader, Writer};
use nix_compat::worker::{Message, Request, greet};
use std::collections::BTreeSet;
use std::io::{BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

struct Daemon {
    child: Child,
    from: Reader<BufReader<ChildStdout>>,
    to: Writer<ChildStdin>,
}

impl Daemon {
    fn start(root: &std::path::Path) -> Self {
        let mut child = Command::new("nix-daemon")
            .args(["--stdio", "--store"])
            .arg(root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("nix-daemon, from checks/install test");
        let from = Reader::new(BufReader::new(child.stdout.take().unwrap()));
        let to = Writer::new(child.stdin.take().unwrap());
        Self { child, from, to }
    }

    /// Reads messages up to the answer.
    fn wait(&mut self) -> Result<(), String> {
        self.to.flush().unwrap();
        loop {
            match Message::read(&mut self.from).unwrap() {
                Message::Last => return Ok(()),
                Message::Error(text) => return Err(text),
                _ => {}
            }
        }
    }

    fn ask(&mut self, request: &Request) {
        request.write(&mut self.to).unwrap();
        self.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_daemon_takes_a_text_and_tells_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(dir.path());
    let (version, server) = greet(&mut daemon.from, &mut daemon.to).unwrap();
    assert!((34..=38).contains(&version.minor), "{version:?}, {server:?}");
    daemon.wait().unwrap();
    let (name, method) = ("hello".to_owned(), "text:sha256".to_owned());
    let references = BTreeSet::new();
    Request::AddToStore { name, method, references: references.clone(), repair: false }
        .write(&mut daemon.to)
        .unwrap();
    let mut stream = FramedWriter::new(daemon.to.get_mut());
    stream.write_all(b"hello, daemon\n").unwrap();
    stream.finish().unwrap();
    daemon.wait().unwrap();
    let expected = nix_compat::path::text("hello", b"hello, daemon\n", &references).unwrap();
    assert_eq!(daemon.from.path().unwrap(), expected);
    let added = daemon.from.path_info().unwrap();
    daemon.ask(&Request::QueryPathInfo(expected.clone()));
    assert!(daemon.from.bool().unwrap());
    assert_eq!(daemon.from.path_info().unwrap(), added);
    daemon.ask(&Request::QueryAllValidPaths);
    assert_eq!(daemon.from.paths().unwrap(), BTreeSet::from([expected]));
    let missing: StorePath = "/nix/store/miacmq2d49l5qm1xgkpr982m3rd9ax08-a".parse().unwrap();
    daemon.ask(&Request::IsValidPath(missing.clone()));
    assert!(!daemon.from.bool().unwrap());
    Request::EnsurePath(missing).write(&mut daemon.to).unwrap();
    assert!(daemon.wait().unwrap_err().contains("miacmq2d49l5qm1xgkpr982m3rd9ax08-a"));
}
