//! Any bytes as what a Nix daemon or its client says: what is read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_compat::wire::{FramedReader, Reader, Writer};
use nix_compat::worker::{Message, Request, greet, welcome};
use std::io::Read;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some(request)) = Request::read(&mut Reader::new(bytes)) {
        let mut writer = Writer::new(Vec::new());
        request.write(&mut writer).expect("memory takes it");
        let written = writer.into_inner();
        let again = Request::read(&mut Reader::new(written.as_slice())).expect("what was written");
        assert_eq!(again, Some(request));
    }
    if let Ok(message) = Message::read(&mut Reader::new(bytes)) {
        let mut writer = Writer::new(Vec::new());
        message.write(&mut writer).expect("memory takes it");
        let written = writer.into_inner();
        let again = Message::read(&mut Reader::new(written.as_slice())).expect("what was written");
        assert_eq!(again, message);
    }
    for cpu in [false, true] {
        if let Ok(result) = Reader::new(bytes).build_result(cpu) {
            let mut writer = Writer::new(Vec::new());
            writer.build_result(&result, cpu).expect("memory takes it");
            let written = writer.into_inner();
            let again = Reader::new(written.as_slice()).build_result(cpu).expect("what was written");
            assert_eq!(again, result);
        }
    }
    let _ = Reader::new(bytes).substitutable_info();
    let _ = greet(&mut Reader::new(bytes), &mut Writer::new(std::io::sink()));
    let server = nix_compat::worker::Server { release: "hc".into(), trusts_us: None };
    let _ = welcome(&mut Reader::new(bytes), &mut Writer::new(std::io::sink()), &server);
    let _ = FramedReader::new(bytes).read_to_end(&mut Vec::new());
});
