//! Binary caches that C++ Nix wrote are read, and it reads those written here.
#![allow(missing_docs, clippy::disallowed_methods)]

mod common;

use common::{Home, nix};
use nix_compat::narinfo::{SecretKey, TrustedPublicKey};
use nix_store::cache::BinaryCache;
use nix_store::copy::{Sink, Source, Trust, copy_closure};
use nix_store::{BuildEvent, BuildObserver, DrvOutput, IngestMethod, PathInfo, Store, StorePath};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const ANYBODY: Trust = Trust { keys: Vec::new(), required: false };

/// A tree that does not fit in one buffer, and a text that refers to it.
fn closure(home: &Home) -> (StorePath, StorePath) {
    let tree = home.dir.path().join("tree");
    std::fs::create_dir_all(&tree).unwrap();
    let mut state = 1u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::fs::write(tree.join("large"), (0..1_500_000).map(|_| random()).collect::<Vec<_>>())
        .unwrap();
    std::fs::write(tree.join("small"), "what it says").unwrap();
    let none = BTreeSet::new();
    let tree = home.store.add_path("tree", &tree, IngestMethod::Recursive, &none, None).unwrap();
    let text = home.store.add_text("text", b"x", &BTreeSet::from([tree.clone()])).unwrap();
    (tree, text)
}

fn url(directory: &Path) -> String {
    format!("file://{}", directory.display())
}

fn open(address: &str, home: &Home) -> BinaryCache {
    BinaryCache::open(address, home.store.config()).unwrap()
}

fn copy(from: &dyn Source, to: &dyn Sink, path: &StorePath) -> nix_store::Result<Vec<StorePath>> {
    copy_closure(from, to, &BTreeSet::from([path.clone()]), &ANYBODY, &())
}

fn archive(from: &Store, path: &StorePath) -> Vec<u8> {
    let mut nar = Vec::new();
    from.nar(path, &mut nar).unwrap();
    nar
}

fn same(one: &PathInfo, other: &PathInfo) {
    let facts = |i: &PathInfo| (i.nar_hash.clone(), i.nar_size, i.references.clone(), i.ca.clone());
    assert_eq!(facts(one), facts(other));
}

struct Server(Child, String);

impl Server {
    fn new(directory: &Path) -> Self {
        let mut child = Command::new("python3")
            .args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "0"])
            .current_dir(directory)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let url = line.split(['(', ')']).nth(1).unwrap().trim_end_matches('/').to_owned();
        Self(child, url)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_cache_that_nix_wrote_is_read() {
    let from = Home::new();
    let (tree, text) = closure(&from);
    for compression in ["xz", "zstd", "bzip2", "gzip", "none"] {
        let directory = from.dir.path().join(compression);
        let address = format!("{}?compression={compression}", url(&directory));
        nix(&from.root(), &["copy", "--to", &address, &text.to_string()]);
        let server = Server::new(&directory);
        for address in [url(&directory), server.1.clone()] {
            let to = Home::new();
            let cache = open(&address, &to);
            let there = to.store.valid(&BTreeSet::from([tree.clone()])).unwrap();
            assert!(there.is_empty());
            assert_eq!(copy(&cache, &to.store, &text).unwrap(), [tree.clone(), text.clone()]);
            for path in [&tree, &text] {
                let (here, was) = (to.store.query(path), from.store.query(path));
                same(&here.unwrap().unwrap(), &was.unwrap().unwrap());
                assert_eq!(archive(&to.store, path), archive(&from.store, path));
            }
            assert!(cache.query(&to.busybox).unwrap().is_none());
            to.verify();
        }
    }
}

#[test]
fn nix_reads_a_cache_written_here() {
    let from = Home::new();
    let (tree, text) = closure(&from);
    let key = SecretKey::from_seed("cache-1", &[9; 32]).unwrap();
    for compression in ["xz", "zstd", "bzip2", "gzip", "none"] {
        let directory = from.dir.path().join(compression);
        let address = format!("{}?compression={compression}", url(&directory));
        let cache = open(&address, &from).signing(key.clone());
        let error = cache.add(
            &from.store.query(&text).unwrap().unwrap(),
            &mut archive(&from.store, &text).as_slice(),
        );
        assert!(error.unwrap_err().to_string().contains("refers to"));
        assert_eq!(copy(&from.store, &cache, &text).unwrap().len(), 2);
        assert!(copy(&from.store, &cache, &text).unwrap().is_empty());
        let to = Home::new();
        let keys = ["--option", "trusted-public-keys", &key.public()];
        let address = url(&directory);
        let paths = ["copy", "--from", &address, &text.to_string()];
        nix(&to.root(), &[&paths[..], &keys[..]].concat());
        assert_eq!(archive(&to.store, &tree), archive(&from.store, &tree));
        assert_eq!(archive(&to.store, &text), archive(&from.store, &text));
        to.verify();
        let left = std::fs::read_dir(directory.join("nar")).unwrap().count();
        assert_eq!(left, 2);
    }
}

#[test]
fn what_a_cache_has_wrong_is_refused() {
    let from = Home::new();
    let built = from.build(from.script("built", "echo built > $out")).unwrap();
    let directory = from.dir.path().join("cache");
    let cache = open(&url(&directory), &from);
    copy(&from.store, &cache, &built).unwrap();
    let record = directory.join(format!("{}.narinfo", nix_compat::path::hash_part(&built)));
    let text = std::fs::read_to_string(&record).unwrap();
    let nar = directory.join(text.lines().find_map(|l| l.strip_prefix("URL: ")).unwrap());
    let to = Home::new();
    let refuse = |trust: &Trust, why: &str| {
        let cache = open(&url(&directory), &to);
        let error = copy_closure(&cache, &to.store, &BTreeSet::from([built.clone()]), trust, &());
        let error = error.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert!(to.store.query(&built).unwrap().is_none());
    };
    let other = SecretKey::from_seed("cache-1", &[8; 32]).unwrap();
    let keys = vec![TrustedPublicKey::parse(&other.public()).unwrap()];
    refuse(&Trust { keys, required: true }, "no signature");
    let whole = std::fs::read(&nar).unwrap();
    std::fs::write(&nar, &whole[..whole.len() - 5]).unwrap();
    refuse(&ANYBODY, "bytes");
    let mut bytes = whole.clone();
    bytes[whole.len() - 1] ^= 1;
    std::fs::write(&nar, &bytes).unwrap();
    refuse(&ANYBODY, "hash");
    std::fs::remove_file(&nar).unwrap();
    refuse(&ANYBODY, "not there");
    std::fs::write(&nar, &whole).unwrap();
    for (was, is, why) in [
        ("URL: nar/", "URL: ../cache/nar/", "not a file of the cache"),
        ("Compression: zstd", "Compression: rot13", "rot13"),
        ("NarSize: ", "NarSize: 9", ""),
        ("StorePath: ", "StorePath: x", "narinfo"),
    ] {
        std::fs::write(&record, text.replace(was, is)).unwrap();
        refuse(&ANYBODY, why);
    }
    std::fs::write(&record, &text).unwrap();
    std::fs::write(directory.join("nix-cache-info"), "StoreDir: /other\n").unwrap();
    refuse(&ANYBODY, "/other");
    std::fs::remove_file(directory.join("nix-cache-info")).unwrap();
    refuse(&ANYBODY, "no nix-cache-info");
    to.verify();
    to.nothing_left();
}

#[derive(Default)]
struct Seen(std::sync::Mutex<Vec<String>>);

impl BuildObserver for Seen {
    fn event(&self, event: BuildEvent<'_>) {
        self.0.lock().unwrap().push(match event {
            BuildEvent::Started { drv } => format!("build {}", drv.name()),
            BuildEvent::Substituting { path, .. } => format!("copy {}", path.name()),
            BuildEvent::Warning { text } => text.into(),
            _ => return,
        });
    }
}

#[test]
fn what_a_cache_has_is_not_built() {
    let from = Home::new();
    let key = SecretKey::from_seed("cache-1", &[9; 32]).unwrap();
    let text = from.store.add_text("text", b"x", &BTreeSet::new()).unwrap();
    let script = |home: &Home| {
        home.script("top", &format!("cat {text} > $out; echo {text} >> $out"))
            .input_source(text.clone())
    };
    let built = from.build(script(&from)).unwrap();
    let directory = from.dir.path().join("cache");
    let cache = open(&url(&directory), &from).signing(key.clone());
    copy(&from.store, &cache, &built).unwrap();
    let attempt = |substituters: Vec<String>, key: &SecretKey, copied: bool, said: &str| {
        let dir = tempfile::tempdir().unwrap();
        let trusted_keys = vec![TrustedPublicKey::parse(&key.public()).unwrap()];
        let mut config = common::config(&dir.path().join("root"));
        (config.substituters, config.trusted_keys) = (substituters, trusted_keys);
        let store = Store::open(config).unwrap();
        copy(&from.store, &store, &from.busybox).unwrap();
        copy(&from.store, &store, &text).unwrap();
        let drv = store.add_derivation(&script(&from).build().unwrap()).unwrap();
        let (seen, output) = (Seen::default(), DrvOutput::new(drv, "out"));
        let plan = store.plan(std::slice::from_ref(&output)).unwrap();
        let made = store.build(std::slice::from_ref(&output), &seen).unwrap();
        assert_eq!(made[&output], built);
        let seen = seen.0.into_inner().unwrap();
        let count = |what: &str| seen.iter().filter(|line| line.starts_with(what)).count();
        let wanted = if copied { (1, 0) } else { (0, 1) };
        assert_eq!((count("copy"), count("build")), wanted, "{seen:?}");
        assert!(seen.iter().any(|line| line.contains(said)), "{seen:?}");
        assert!(!copied || plan.builds.is_empty() && plan.substitutes.len() == 1);
    };
    let here = vec![url(&directory)];
    attempt(here.clone(), &key, true, "copy top");
    let broken = ["ftp://nowhere".into(), "file:///no/such/cache".into()];
    attempt([&broken[..], &here[..]].concat(), &key, true, "ftp://nowhere");
    attempt(Vec::new(), &key, false, "build top");
    let other = SecretKey::from_seed("cache-1", &[8; 32]).unwrap();
    attempt(here, &other, false, "no signature");
    attempt(broken.to_vec(), &key, false, "no nix-cache-info");
}

/// What an output came to whose path follows from its contents: it is copied with it, and C++ Nix
/// finds it; who does not trust the key builds.
#[test]
fn what_floating_outputs_came_to_is_told() {
    let from = Home::new();
    let key = SecretKey::from_seed("cache-1", &[9; 32]).unwrap();
    let script = |home: &Home| {
        let hash_algorithm = nix_compat::HashAlgorithm::Sha256;
        let method = nix_compat::ContentAddressMethod::Nar;
        home.script("floating", "echo made > $out")
            .output("out", nix_compat::Output::Floating { method, hash_algorithm })
            .set("out", nix_compat::path::hash_placeholder("out"))
    };
    let built = from.build(script(&from)).unwrap();
    let directory = from.dir.path().join("cache");
    let cache = open(&url(&directory), &from).signing(key.clone());
    copy(&from.store, &cache, &built).unwrap();
    assert_eq!(std::fs::read_dir(directory.join("realisations")).unwrap().count(), 1);
    for (seed, copied) in [(9, true), (8, false)] {
        let key = SecretKey::from_seed("cache-1", &[seed; 32]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut config = common::config(&dir.path().join("root"));
        config.substituters = vec![url(&directory)];
        config.trusted_keys = vec![TrustedPublicKey::parse(&key.public()).unwrap()];
        let store = Store::open(config).unwrap();
        copy(&from.store, &store, &from.busybox).unwrap();
        let drv = store.add_derivation(&script(&from).build().unwrap()).unwrap();
        let (seen, output) = (Seen::default(), DrvOutput::new(drv, "out"));
        let made = store.build(std::slice::from_ref(&output), &seen).unwrap();
        assert_eq!(made[&output], built);
        let seen = seen.0.into_inner().unwrap();
        assert_eq!(seen.iter().any(|line| line == "copy floating"), copied, "{seen:?}");
        assert_eq!(seen.iter().any(|line| line == "build floating.drv"), !copied, "{seen:?}");
        assert_eq!(seen.iter().any(|line| line.contains("came to")), !copied, "{seen:?}");
        // Once more: it is known.
        let seen = Seen::default();
        store.build(std::slice::from_ref(&output), &seen).unwrap();
        assert!(seen.0.into_inner().unwrap().is_empty());
    }
}

/// A server that breaks each connection after a while, and one that cannot do ranges.
#[test]
fn a_broken_connection_goes_on_where_it_was() {
    let from = Home::new();
    let (tree, _) = closure(&from);
    let directory = from.dir.path().join("cache");
    copy(&from.store, &open(&url(&directory), &from), &tree).unwrap();
    for ranges in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let directory = directory.clone();
        std::thread::spawn(move || {
            let mut large = 0;
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let head: Vec<String> =
                    lines.by_ref().map_while(Result::ok).take_while(|l| !l.is_empty()).collect();
                let name = head[0].split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
                let bytes = std::fs::read(directory.join(name)).unwrap();
                let range = head.iter().find_map(|l| {
                    l.to_lowercase().strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok()
                });
                let begin: usize = range.filter(|_| ranges).unwrap_or(0);
                let status = if begin > 0 {
                    format!(
                        "206 P\r\nContent-Range: bytes {begin}-{}/{}",
                        bytes.len() - 1,
                        bytes.len()
                    )
                } else {
                    "200 OK".into()
                };
                let left = &bytes[begin..];
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                    left.len()
                )
                .unwrap();
                // The first connection for the archive breaks.
                large += usize::from(bytes.len() > 1_000_000);
                let cut = if large == 1 { left.len().min(700_000) } else { left.len() };
                let _ = stream.write_all(&left[..cut]);
            }
        });
        let to = Home::new();
        copy(&open(&address, &to), &to.store, &tree).unwrap();
        assert_eq!(archive(&to.store, &tree), archive(&from.store, &tree));
    }
}
