//! Downloads over HTTP and HTTPS, from servers of the test's own.
#![allow(missing_docs, clippy::disallowed_methods)]

mod common;

use common::{Home, fetchurl, sha256};
use nix_compat::CAHash;
use nix_store::{DrvOutput, Error, Quiet, Store};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Answers requests by their path; counts them.
fn serve(
    answer: impl Fn(&str, usize) -> Vec<u8> + Send + Sync + 'static,
) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (answer, counter) = (Arc::clone(&answer), Arc::clone(&counter));
            std::thread::spawn(move || one(client, &*answer, &counter));
        }
    });
    (port, count)
}

fn one(mut client: TcpStream, answer: &dyn Fn(&str, usize) -> Vec<u8>, counter: &AtomicUsize) {
    let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
    let request = lines.next().unwrap().unwrap();
    while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
    let path = request.split(' ').nth(1).unwrap().to_owned();
    let nth = counter.fetch_add(1, Ordering::SeqCst);
    let _ = client.write_all(&answer(&path, nth));
}

fn ok(body: &[u8]) -> Vec<u8> {
    let mut all =
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len())
            .into_bytes();
    all.extend(body);
    all
}

fn status(line: &str) -> Vec<u8> {
    format!("HTTP/1.1 {line}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

#[test]
fn passing_failures_are_tried_again_and_lasting_ones_are_not() {
    let home = Home::new();
    let body = vec![7; 300_000];
    let served = body.clone();
    let (port, count) = serve(move |path, nth| match (path, nth) {
        ("/gone", _) => status("404 Not Found"),
        ("/there", _) => status("302 Found\r\nLocation: /flaky"),
        (_, 0) => status("503 Busy"),
        (_, 1) => ok(&served)[..1000].to_vec(),
        _ => ok(&served),
    });
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let mut config = home.store.config().clone();
    config.fetch_tries = 3;
    let store = Store::open(config).unwrap();
    let build = |path: &str, hash| {
        let drv = fetchurl("f", &url(path), CAHash::Flat(hash)).build().unwrap();
        let wanted = DrvOutput::new(store.add_derivation(&drv).unwrap(), "out");
        Ok::<_, Error>(store.build(std::slice::from_ref(&wanted), &Quiet)?.remove(&wanted).unwrap())
    };
    let out = build("/flaky", sha256(&body)).unwrap();
    assert_eq!(std::fs::read(home.physical(&out)).unwrap(), body);
    assert_eq!(count.load(Ordering::SeqCst), 3);
    let error = build("/gone", sha256(b"x")).unwrap_err().to_string();
    assert!(
        error.contains("cannot download http://127.0.0.1:") && error.contains("404"),
        "{error}"
    );
    assert_eq!(count.load(Ordering::SeqCst), 4);
    let error = build("/there", sha256(b"y")).unwrap_err();
    assert!(matches!(error, Error::HashMismatch { .. }), "redirected, and not the same: {error}");
    home.verify();
    home.nothing_left();
}

#[test]
fn many_downloads_run_at_once() {
    let home = Home::new();
    let busy = Arc::new(AtomicUsize::new(0));
    // Answers only once four ask at the same time.
    let (port, _) = serve(move |path, _| {
        busy.fetch_add(1, Ordering::SeqCst);
        let begun = Instant::now();
        while busy.load(Ordering::SeqCst) < 4 && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(5));
        }
        ok(path.as_bytes())
    });
    let wanted: Vec<DrvOutput> = (0..4)
        .map(|n| {
            let url = format!("http://127.0.0.1:{port}/{n}");
            let drv = fetchurl("f", &url, CAHash::Flat(sha256(format!("/{n}").as_bytes())));
            DrvOutput::new(home.add(drv).0, "out")
        })
        .collect();
    assert_eq!(home.store.build(&wanted, &Quiet).unwrap().len(), 4);
}

#[test]
fn tls_is_checked_against_the_certificates_told() {
    let home = Home::new();
    let dir = home.dir.path();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(dir)
        .output()
        .expect("openssl is missing: install openssl, the other end of this test");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let body = ok(b"over tls");
    std::fs::write(dir.join("answer"), body).unwrap();
    // A free port, for a moment.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = Command::new("openssl")
        .args(["s_server", "-quiet", "-HTTP", "-key", "key.pem", "-cert", "cert.pem"])
        .args(["-accept", &port.to_string()])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() && begun.elapsed().as_secs() < 20 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let url = format!("https://localhost:{port}/answer");
    let drv = fetchurl("tls", &url, CAHash::Flat(sha256(b"over tls"))).build().unwrap();
    let wanted = DrvOutput::new(home.store.add_derivation(&drv).unwrap(), "out");
    let untrusted = home.store.build(std::slice::from_ref(&wanted), &Quiet);
    let mut config = home.store.config().clone();
    config.ca_file = Some(dir.join("cert.pem"));
    let store = Store::open(config).unwrap();
    let trusted = store.build(std::slice::from_ref(&wanted), &Quiet);
    server.kill().unwrap();
    server.wait().unwrap();
    let error = untrusted.unwrap_err().to_string();
    assert!(error.to_lowercase().contains("certificate"), "{error}");
    let out = trusted.unwrap_or_else(|e| panic!("{e}")).remove(&wanted).unwrap();
    let mut text = String::new();
    std::fs::File::open(home.physical(&out)).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "over tls");
}
