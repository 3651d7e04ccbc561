//! Any bytes as a qcow2 image: it ends, and what comes out is no larger than allowed.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory in memory");
    let (file, out) = (dir.path().join("image"), dir.path().join("out"));
    std::fs::write(&file, bytes).expect("a file in memory");
    let _ = hc_image::disk::convert(&[file], &out, 64 << 20);
    assert!(out.metadata().map_or(0, |found| found.len()) <= 64 << 20);
});
