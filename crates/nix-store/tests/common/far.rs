//! A store behind a socket, served by this program; and somebody in between.

use nix_store::copy::Trust;
use nix_store::remote::{Access, Client, serve_daemon};
use nix_store::{Keep, Store};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// To write, and to be believed or not.
pub fn access(trusted: bool) -> Access {
    Access { write: true, trust: Trust { keys: Vec::new(), required: true }, trusted }
}

/// Serves everybody who comes, until the test ends.
pub fn listen(store: &Store, socket: &Path, access: Access) {
    let listener = UnixListener::bind(socket).unwrap();
    let store = store.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (store, access) = (store.clone(), access.clone());
            std::thread::spawn(move || {
                let (mut from, mut to) = both(stream.unwrap());
                let mut client = Client { from: &mut from, to: &mut to, gone: &|| false };
                let _ = serve_daemon(&store, &access, Keep::default(), "hc", &mut client);
            });
        }
    });
}

/// One end for each way.
pub fn both(stream: UnixStream) -> (UnixStream, UnixStream) {
    (stream.try_clone().unwrap(), stream)
}

/// Passes on to `far` who comes to `socket`, and lets both believe that the other speaks no newer
/// version than this of the worker protocol.
pub fn lower(socket: &Path, far: PathBuf, minor: u8) {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for near in listener.incoming() {
            let (near_from, near_to) = both(near.unwrap());
            let (far_from, far_to) = both(UnixStream::connect(&far).unwrap());
            std::thread::spawn(move || pass(near_from, far_to, minor));
            std::thread::spawn(move || pass(far_from, near_to, minor));
        }
    });
}

/// Both begin with a magic number and their version.
fn pass(mut from: UnixStream, mut to: UnixStream, minor: u8) {
    let mut begin = [0; 16];
    if from.read_exact(&mut begin).is_ok() {
        let theirs = u64::from_le_bytes(begin[8..].try_into().unwrap());
        begin[8..].copy_from_slice(&theirs.min(1 << 8 | u64::from(minor)).to_le_bytes());
        let _ = to.write_all(&begin).and_then(|()| std::io::copy(&mut from, &mut to));
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}
