//! Any bytes as an index, a manifest and a configuration: it is refused, or an image is read. Their
//! digests are made to fit, so that what is behind them is reached.
#![no_main]

use hc_image::oci::{PLATFORM, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory in memory");
    let top = dir.path().join("image");
    let blobs = top.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).expect("a directory in memory");
    let write = |name: &str, text: &[u8]| std::fs::write(top.join(name), text).expect("a file");
    let mut parts = bytes.splitn(3, |b| *b == 0);
    let mut next = || parts.next().unwrap_or(b"");
    let blob = |text: &[u8]| {
        let hex = hc_image::debian::sha256_hex(text);
        std::fs::write(blobs.join(&hex), text).expect("a file");
        format!(r#"{{"mediaType":"x","digest":"sha256:{hex}","size":{}}}"#, text.len())
    };
    let (config, manifest, saved) = (next(), next(), next());
    let config = blob(config);
    let manifest = String::from_utf8_lossy(manifest).replace("CONFIG", &config);
    let index = format!(r#"{{"manifests":[{}]}}"#, blob(manifest.as_bytes()));
    if saved.is_empty() {
        write("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        write("index.json", index.as_bytes());
    } else {
        write("manifest.json", saved);
    }
    let request = Request {
        out: dir.path().join("out"),
        work: dir.path().into(),
        src: top,
        limits: hc_image::archive::Limits { bytes: 1 << 20, entries: 100 },
        platform: PLATFORM.into(),
        tag: None,
    };
    let _ = hc_image::oci::load(&request);
});
