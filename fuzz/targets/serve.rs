//! Any bytes as what `nix-store --serve` or its client says, and as an export: what is read can be
//! written and read again, and what can be unpacked ends where the unpacker says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_compat::export::{Trailer, read_more};
use nix_compat::nar::{self, ArchiveReader};
use nix_compat::serve::{Request, greet, read_path_info, welcome, write_path_info};
use nix_compat::wire::{Reader, Writer};
use std::io::Read;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some(request)) = Request::read(&mut Reader::new(bytes)) {
        let mut writer = Writer::new(Vec::new());
        request.write(&mut writer).expect("memory takes it");
        let written = writer.into_inner();
        let again = Request::read(&mut Reader::new(written.as_slice())).expect("what was written");
        assert_eq!(again, Some(request));
    }
    if let Ok(Some((path, info))) = read_path_info(&mut Reader::new(bytes)) {
        let mut writer = Writer::new(Vec::new());
        write_path_info(&mut writer, &path, &info).expect("memory takes it");
        let written = writer.into_inner();
        let again = read_path_info(&mut Reader::new(written.as_slice())).expect("what was written");
        assert_eq!(again, Some((path, info)));
    }
    if let Ok(trailer) = Trailer::read(&mut Reader::new(bytes)) {
        let mut writer = Writer::new(Vec::new());
        trailer.write(&mut writer).expect("memory takes it");
        let written = writer.into_inner();
        let again = Trailer::read(&mut Reader::new(written.as_slice())).expect("what was written");
        assert_eq!(again, trailer);
    }
    let _ = read_more(&mut Reader::new(bytes));
    let _ = greet(&mut Reader::new(bytes), &mut Writer::new(std::io::sink()));
    let _ = welcome(&mut Reader::new(bytes), &mut Writer::new(std::io::sink()));
    let mut archive = Vec::new();
    let passed = ArchiveReader::new(bytes).read_to_end(&mut archive);
    assert!(bytes.starts_with(&archive));
    if nar::decode(bytes).is_ok() {
        passed.expect("what can be unpacked passes");
        assert_eq!(archive, bytes);
    }
});
