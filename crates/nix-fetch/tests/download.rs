//! Archives and files from a server of our own, and from disk.
#![allow(clippy::disallowed_methods)]

use nix_compat::flake_ref::{Attr, FlakeRef, Input};
use nix_fetch::{Config, Content, Fetcher, Tree, unpack};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What a server has: path, extra header lines and bytes.
type Pages = Arc<Mutex<Vec<(String, String, Vec<u8>)>>>;

/// A server that answers until the test ends; the paths that were asked for.
fn serve(pages: &Pages) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let (pages, asked) = (pages.clone(), Arc::new(Mutex::new(Vec::new())));
    let log = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
            let (mut line, mut path, mut etag) = (String::new(), String::new(), String::new());
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                let mut words = line.split_whitespace();
                match words.next().map(str::to_ascii_lowercase).as_deref() {
                    Some("get") => path = words.next().unwrap_or_default().to_owned(),
                    Some("if-none-match:") => etag = words.next().unwrap_or_default().to_owned(),
                    _ => {}
                }
                line.clear();
            }
            log.lock().expect("a lock").push(path.clone());
            let pages = pages.lock().expect("a lock");
            let page = pages.iter().find(|(at, ..)| *at == path);
            let answer = match page {
                Some((_, headers, _)) if !etag.is_empty() && headers.contains(&etag) => {
                    b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n".to_vec()
                }
                Some((_, headers, body)) => {
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
                        body.len()
                    );
                    [head.as_bytes(), body].concat()
                }
                None => b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                    .to_vec(),
            };
            let _ = stream.write_all(&answer);
        }
    });
    (address, asked)
}

struct Entry<'e> {
    name: &'e str,
    kind: tar::EntryType,
    mode: u32,
    /// The content, or where a link leads.
    text: &'e str,
}

fn entry<'e>(name: &'e str, kind: tar::EntryType, text: &'e str) -> Entry<'e> {
    Entry { name, kind, mode: 0o644, text }
}

fn tarball(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        // Names that a careful library would not write.
        header.as_mut_bytes()[..entry.name.len()].copy_from_slice(entry.name.as_bytes());
        header.set_entry_type(entry.kind);
        header.set_mode(entry.mode);
        header.set_mtime(1_600_000_000);
        let link = entry.kind.is_symlink() || entry.kind.is_hard_link();
        if link {
            header.set_link_name_literal(entry.text).expect("a short name");
        }
        let body = if link { "" } else { entry.text };
        header.set_size(body.len() as u64);
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(body.as_bytes());
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn project() -> Vec<u8> {
    use tar::EntryType as T;
    tarball(&[
        entry("top/", T::Directory, ""),
        Entry { mode: 0o755, ..entry("top/run", T::Regular, "#!") },
        entry("top/d/f", T::Regular, "text"),
        entry("top/l", T::Symlink, "d/f"),
        entry("top/h", T::Link, "top/d/f"),
    ])
}

fn path(tree: &Tree) -> PathBuf {
    match &tree.content {
        Content::Kept { path, .. } => path.clone(),
        Content::Local { .. } => panic!("it is local"),
    }
}

fn input(text: &str) -> Input {
    FlakeRef::parse(text, true, false).expect("a reference").input
}

#[test]
fn an_archive_is_unpacked_without_its_top() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes);
    write("a.tar", &project()).expect("a file");
    write("a.tar.gz", &gzip(&project())).expect("a file");
    write("a.tar.zst", &zstd::encode_all(project().as_slice(), 1).expect("memory"))
        .expect("a file");
    let mut xz = Vec::new();
    liblzma::copy_encode(project().as_slice(), &mut xz, 1).expect("memory");
    write("a.tar.xz", &xz).expect("a file");
    let mut bz = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bz.write_all(&project()).expect("memory");
    write("a.tar.bz2", &bz.finish().expect("memory")).expect("a file");
    let fetcher = Fetcher::new(Config::new(dir.path().join("cache")));
    let mut hashes = Vec::new();
    for name in ["a.tar", "a.tar.gz", "a.tar.zst", "a.tar.xz", "a.tar.bz2"] {
        let tree = fetcher.fetch(&input(&format!("file://{}/{name}", dir.path().display())));
        let tree = tree.unwrap_or_else(|error| panic!("{name}: {error}"));
        let top = path(&tree);
        assert_eq!(std::fs::read_to_string(top.join("h")).expect("a file"), "text");
        assert_eq!(std::fs::read_link(top.join("l")).expect("a link"), Path::new("d/f"));
        let mode = top.join("run").metadata().expect("a file").permissions().mode();
        assert_eq!(mode & 0o111, 0o111);
        assert_eq!(tree.input.attrs().get("lastModified"), Some(&Attr::Int(1_600_000_000)));
        hashes.push(tree.input.text("narHash").expect("a hash").to_owned());
    }
    hashes.dedup();
    assert_eq!(hashes.len(), 1);
}

#[test]
fn nothing_is_written_outside_of_the_tree() {
    use tar::EntryType as T;
    let dir = tempfile::tempdir().expect("a directory");
    let try_unpack = |entries: &[Entry<'_>]| {
        let (file, to) = (dir.path().join("a"), dir.path().join("in/to"));
        let _ = std::fs::remove_dir_all(dir.path().join("in"));
        std::fs::create_dir(dir.path().join("in")).expect("a directory");
        std::fs::write(&file, tarball(entries)).expect("a file");
        let outcome = unpack(&file, &to);
        assert_eq!(std::fs::read_dir(dir.path().join("in")).expect("a directory").count(), 1);
        outcome.map_err(|error| error.to_string())
    };
    // What leads out leads to the root of the tree.
    for name in ["../x", "/x", "a/../../x", "./x"] {
        try_unpack(&[entry(name, T::Regular, "y")]).expect("it is unpacked");
        assert_eq!(std::fs::read_to_string(dir.path().join("in/to/x")).expect("a file"), "y");
    }
    let out = dir.path().join("in").display().to_string();
    let through = [entry("l", T::Symlink, &out), entry("l/x", T::Regular, "y")];
    assert!(try_unpack(&through).is_err());
    assert!(try_unpack(&[entry("h", T::Link, "../../etc/passwd")]).is_err());
    assert!(try_unpack(&[entry("d/", T::Directory, ""), entry("d", T::Regular, "")]).is_err());
    assert!(try_unpack(&[entry("p", T::Fifo, "")]).is_err());
    std::fs::write(dir.path().join("text"), "no archive").expect("a file");
    let error = unpack(&dir.path().join("text"), &dir.path().join("t")).expect_err("it is none");
    assert!(error.to_string().contains("Failed to open archive"), "{error}");
}

#[test]
fn a_server_is_asked_again_only_when_it_is_time() {
    let pages: Pages = Arc::default();
    let tag = |tag: &str| format!("ETag: \"{tag}\"\r\n");
    pages.lock().expect("a lock").extend([
        ("/f".to_owned(), tag("one"), b"first".to_vec()),
        ("/t.tar.gz".to_owned(), tag("one"), gzip(&project())),
    ]);
    let (address, asked) = serve(&pages);
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = Config::new(dir.path().join("cache"));
    let get = |config: &Config| {
        let file = Fetcher::new(config.clone()).download(&format!("{address}/f"), "f");
        std::fs::read_to_string(file.expect("it is downloaded").path).expect("a file")
    };
    assert_eq!((get(&config), get(&config)), ("first".into(), "first".into()));
    let archive = input(&format!("{address}/t.tar.gz"));
    let fetch =
        |config: &Config| Fetcher::new(config.clone()).fetch(&archive).map(|tree| path(&tree));
    let tree = fetch(&config).expect("it is fetched");
    assert_eq!(fetch(&config).expect("it is fetched"), tree);
    assert_eq!(*asked.lock().expect("a lock"), ["/f", "/t.tar.gz"]);
    config.ttl = std::time::Duration::ZERO;
    assert_eq!(get(&config), "first");
    assert_eq!(fetch(&config).expect("the server says it is the same"), tree);
    assert_eq!(asked.lock().expect("a lock").len(), 4);
    pages.lock().expect("a lock")[0] = ("/f".into(), tag("two"), b"second".to_vec());
    assert_eq!(get(&config), "second");
    // What is damaged is not used, and what is gone is taken from the cache.
    for file in std::fs::read_dir(dir.path().join("cache/files")).expect("a directory") {
        std::fs::write(file.expect("an entry").path(), "damaged").expect("a file");
    }
    assert_eq!(get(&config), "second");
    config.http.fetch_tries = 1;
    pages.lock().expect("a lock").clear();
    assert_eq!(get(&config), "second");
    let error = Fetcher::new(config).download(&format!("{address}/other"), "f");
    let error = error.expect_err("there is no such file").to_string();
    assert_eq!(error, format!("unable to download '{address}/other': HTTP error 404"));
}

#[test]
fn a_server_can_say_what_will_never_change() {
    let pages: Pages = Arc::default();
    let (address, _) = serve(&pages);
    let link = format!("Link: <{address}/v1.tar.gz?rev={}>; rel=\"immutable\"\r\n", "a".repeat(40));
    pages.lock().expect("a lock").push(("/latest.tar.gz".into(), link, gzip(&project())));
    let dir = tempfile::tempdir().expect("a directory");
    let fetcher = Fetcher::new(Config::new(dir.path().join("cache")));
    let tree = fetcher.fetch(&input(&format!("{address}/latest.tar.gz"))).expect("it is fetched");
    assert_eq!(tree.input.text("url"), Some(format!("{address}/v1.tar.gz").as_str()));
    assert_eq!(tree.input.text("rev"), Some("a".repeat(40).as_str()));
}

#[test]
fn forges_are_asked_for_the_commit_and_its_archive() {
    let pages: Pages = Arc::default();
    let (address, asked) = serve(&pages);
    let rev = "b".repeat(40);
    let answer = |path: &str, body: &[u8]| (path.to_owned(), String::new(), body.to_vec());
    let refs = format!("{rev}\trefs/heads/main\n");
    pages.lock().expect("a lock").extend([
        answer("/gh/repos/a/b/commits/HEAD", format!(r#"{{"sha":"{rev}"}}"#).as_bytes()),
        answer(&format!("/web/a/b/archive/{rev}.tar.gz"), &gzip(&project())),
        answer("/srht/~a/b/HEAD", b"ref: refs/heads/main\n"),
        answer("/srht/~a/b/info/refs", refs.as_bytes()),
        answer(
            "/gl/api/v4/projects/a%2Fb/repository/commits?ref_name=dev",
            format!(r#"[{{"id":"{rev}"}}]"#).as_bytes(),
        ),
    ]);
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = Config::new(dir.path().join("cache"));
    for (prefix, with) in [
        ("https://api.github.com", "gh"),
        ("https://github.com", "web"),
        ("https://git.sr.ht", "srht"),
        ("https://gitlab.com", "gl"),
    ] {
        config.http.mirrors.push((prefix.into(), format!("{address}/{with}")));
    }
    let fetcher = Fetcher::new(config);
    for text in ["github:a/b", "sourcehut:~a/b/main", "sourcehut:~a/b", "gitlab:a/b/dev"] {
        let tree = fetcher.fetch(&input(text)).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(tree.input.text("rev"), Some(rev.as_str()), "{text}");
        assert_eq!(tree.input.text("ref"), None);
        assert_eq!(tree.input.attrs().get("lastModified"), Some(&Attr::Int(1_600_000_000)));
        assert!(path(&tree).join("d/f").exists());
    }
    // The commit names the tree, wherever it comes from.
    let archives = asked.lock().expect("a lock").iter().filter(|at| at.contains("archive")).count();
    assert_eq!(archives, 1);
}
