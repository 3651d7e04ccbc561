//! Any bytes as a package: it is refused, or its parts can be read.
#![no_main]

use hc_image::deb::{Deb, Info, control};
use libfuzzer_sys::fuzz_target;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

fuzz_target!(|bytes: &[u8]| {
    let memory = rustix::fs::memfd_create("package", rustix::fs::MemfdFlags::CLOEXEC);
    let mut file = File::from(memory.expect("a file in memory"));
    file.write_all(bytes).expect("a file in memory can be written");
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let Ok(deb) = Deb::open(&path) else { return };
    if let Ok(text) = deb.control() {
        for paragraph in control::paragraphs(&text) {
            let _ = Info::parse(&paragraph);
        }
    }
    if let Ok(data) = deb.data() {
        // Enough to see headers; what a small package swells to is its reader's to bound.
        let _ = std::io::copy(&mut data.take(1 << 20), &mut std::io::sink());
    }
});
