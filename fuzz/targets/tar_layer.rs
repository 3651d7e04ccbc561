//! Any bytes as two layers: they are refused, or the union of them becomes an image.
#![no_main]

use hc_image::archive::{Budget, Limits, Slice, Spool};
use hc_image::layer::Layers;
use libfuzzer_sys::fuzz_target;
use std::fs::File;
use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::Arc;

fuzz_target!(|bytes: &[u8]| {
    let memory = rustix::fs::memfd_create("archive", rustix::fs::MemfdFlags::CLOEXEC);
    let mut file = File::from(memory.expect("a file in memory"));
    file.write_all(bytes).expect("a file in memory can be written");
    let all = Slice { file: Arc::new(file), offset: 0, len: bytes.len() as u64, at: 0 };
    let mut budget = Budget::new(Limits { bytes: 1 << 22, entries: 1000 });
    let spool = Spool { work: Path::new("/dev/shm") };
    let Ok(data) = spool.plain(&all, "archive", &mut budget, None, None) else { return };
    let half = data.len / 1024 * 512;
    let (first, second) = (data.part(0, half), data.part(half, data.len - half));
    let mut layers = Layers::default();
    let mut ok = false;
    for (number, part) in [first, second].into_iter().flatten().enumerate() {
        ok |= layers.lay(part, "archive", number == 1, &mut budget).is_ok();
    }
    if ok {
        let mut out = Cursor::new(Vec::new());
        let _ = hc_image::erofs::write(&layers.into_tree(), &mut out, Path::new("image"));
        assert!(out.get_ref().len() < 64 << 20);
    }
});
