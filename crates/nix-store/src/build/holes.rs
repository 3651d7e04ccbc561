//! The public holes of Nix's sandbox that have a guard in this crate, done again for real: each attack
//! is run against the guard, and once more without it, where it has to work. `tests/attacks.rs` has
//! those that need nothing taken away.
#![allow(clippy::disallowed_methods, clippy::undocumented_unsafe_blocks)]

#[path = "../../tests/common/mod.rs"]
mod common;

use crate::{DrvOutput, Result, Store, StorePath};
use common::{Home, Listener, sha256};
use nix_compat::{CAHash, Derivation, Output};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::fs::File;
use std::io::{IoSliceMut, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;

const PYTHON: &str = "/usr/bin/python3";

/// A store whose builds see the host's programs.
fn generous(home: &Home) -> Store {
    assert!(Path::new(PYTHON).exists(), "python3 is missing: install it");
    let mut config = home.store.config().clone();
    for directory in ["/usr", "/lib", "/lib64"] {
        config.sandbox_paths.push((directory.into(), directory.into()));
    }
    Store::open(config).unwrap()
}

fn python(name: &str, program: &str) -> Derivation {
    Derivation::new(name, "x86_64-linux", PYTHON)
        .argument("-c")
        .argument(program)
        .set("out", "")
        .input_addressed_output("out")
}

fn fixed(builder: Derivation, contents: &str, without: &str) -> Derivation {
    let ca = CAHash::Flat(sha256(contents.as_bytes()));
    let builder = builder.output("out", Output::Fixed { ca });
    if without.is_empty() { builder } else { builder.set("withoutGuards", without) }
}

fn build(store: &Store, builder: Derivation, listener: &Listener) -> Result<StorePath> {
    let drv = store.add_derivation(&builder.build().unwrap())?;
    let wanted = DrvOutput::new(drv, "out");
    Ok(store.build(std::slice::from_ref(&wanted), listener)?.remove(&wanted).unwrap())
}

fn abstract_address(name: &str) -> SocketAddr {
    SocketAddr::from_abstract_name(name.as_bytes()).unwrap()
}

/// The descriptor that a builder hands to whoever connects to its abstract socket.
fn receive(name: &str) -> OwnedFd {
    let stream = loop {
        match UnixStream::connect_addr(&abstract_address(name)) {
            Ok(stream) => break stream,
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(5)),
        }
    };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(&stream, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::empty()).unwrap();
    let mut found = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            found = fds.into_iter().next();
        }
    }
    found.expect("a descriptor came")
}

const SEND: &str = "import os, socket, array\n\
    f = open(os.environ['out'], 'w+'); f.write('promised'); f.flush()\n\
    s = socket.socket(socket.AF_UNIX)\n\
    s.bind('\\0NAME'); s.listen(1); c, _ = s.accept()\n\
    c.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [f.fileno()]))])\n";

/// CVE-2024-27297: whoever has a fixed output open when it is registered could change it afterwards. A
/// builder with network hands the descriptor out at an abstract socket of the host's namespace.
#[test]
fn cve_2024_27297_an_open_descriptor_does_not_change_a_valid_output() {
    for (without, left) in [("", "promised"), ("Copy", "evil")] {
        let home = Home::new();
        let store = generous(&home);
        let name = format!("hc-sender-{}-{without}", std::process::id());
        let builder = fixed(python("sender", &SEND.replace("NAME", &name)), "promised", without);
        let (out, held) = std::thread::scope(|scope| {
            let held = scope.spawn(|| receive(&name));
            let out = build(&store, builder, &Listener::default());
            (out.unwrap_or_else(|e| panic!("{e}")), held.join().unwrap())
        });
        assert_eq!(std::fs::read(home.physical(&out)).unwrap(), b"promised");
        let mut held = File::from(held);
        held.set_len(0).unwrap();
        held.rewind().unwrap();
        held.write_all(b"evil").unwrap();
        let found = std::fs::read_to_string(home.physical(&out)).unwrap();
        assert_eq!(found, left, "without the guards {without:?}");
        if without.is_empty() {
            home.verify();
            home.nothing_left();
        }
    }
}

/// CVE-2025-46416: builders with the host's network met each other, and the host, at its abstract
/// sockets.
#[test]
fn cve_2025_46416_abstract_sockets_of_the_host_cannot_be_reached() {
    // Landlock's ABI 6 brought scopes.
    let none = std::ptr::null::<u8>();
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, 1_u32) };
    assert!(version >= 6, "this test needs Linux 6.12 with Landlock, and has version {version}");
    let home = Home::new();
    let store = generous(&home);
    let name = format!("hc-meet-{}", std::process::id());
    let _listener = UnixListener::bind_addr(&abstract_address(&name)).unwrap();
    let program = format!(
        "import os, socket\n\
         s = socket.socket(socket.AF_UNIX)\n\
         try:\n  s.connect('\\0{name}'); print('connected')\n\
         except OSError as e: print('refused', e.errno)\n\
         a, b = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)\n\
         a.bind('\\0own-{name}'); a.listen(1); b.connect('\\0own-{name}'); print('own')\n\
         open(os.environ['out'], 'w').write('x')\n"
    );
    let with = |name: &str, without| fixed(python(name, &program), "x", without);
    let range = with("range", "").set("requiredSystemFeatures", "uid-range");
    for (builder, first) in [
        // Nobody is there to connect to in a network of its own.
        (python("plain", &program), format!("refused {}", libc::ECONNREFUSED)),
        (with("scoped", ""), format!("refused {}", libc::EPERM)),
        (range, format!("refused {}", libc::EPERM)),
        (with("open", "Scope"), "connected".into()),
    ] {
        let listener = Listener::default();
        build(&store, builder, &listener).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(*listener.lines.lock().unwrap(), [first.as_str(), "own"]);
    }
}

/// CVE-2026-39860: outputs were copied to a name that the builder could take beforehand, with a link
/// to any file of the host.
#[test]
fn cve_2026_39860_links_in_the_builders_tree_are_not_written_through() {
    let home = Home::new();
    let victim = home.dir.path().join("victim");
    let (at, base) = (victim.display(), "${out##*/}");
    let plant = format!(
        "for n in $out.tmp $out.check $out.copy $out.lock /nix/store/.tmp /nix/store/made /tmp/{base} \
         /build/{base} /nix/store/tmp-hc-0; do ln -s {at} $n; done; \
         ln -s {at} /made 2>/dev/null || true; mkdir -p /build/made; ln -s {at} /build/made/{base}; "
    );
    let attack = |without: &str| {
        std::fs::write(&victim, "safe").unwrap();
        let name = format!("copied-{}", without.replace(' ', "-"));
        let script = format!("{plant}echo -n evil > $out");
        let built = home.build(fixed(home.script(&name, &script), "evil", without));
        (built, std::fs::read_to_string(&victim).unwrap())
    };
    let (built, left) = attack("");
    let out = built.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(std::fs::read(home.physical(&out)).unwrap(), b"evil");
    assert_eq!(left, "safe");
    // Each guard alone is enough for the victim, and without both of them the link is followed.
    let (built, left) = attack("Place");
    assert!(built.unwrap_err().to_string().contains("File exists"));
    assert_eq!(left, "safe");
    let (built, left) = attack("Links");
    assert!(built.is_ok() && left == "safe", "{left}");
    assert_eq!(attack("Place Links").1, "evil");
    // And an output that is a link is no file, wherever it leads.
    std::fs::write(&victim, "safe").unwrap();
    let linked = home.script("linked", &format!("ln -s {at} $out"));
    let error = home.build(fixed(linked, "safe", "")).unwrap_err();
    assert!(error.to_string().contains("regular file"), "{error}");
    home.nothing_left();
}
