//! Any bytes as what arrives on the port of a virtual machine, in both directions: pieces make no
//! difference, and what was read can be sent and read again.
#![no_main]

use hc_guest::wire::{Decoder, FromGuest, Message, ToGuest, WireError, encode};
use libfuzzer_sys::fuzz_target;

fn decode<M: Message>(bytes: &[u8], piece: usize) -> (Vec<(u32, M)>, Option<WireError>) {
    let (mut decoder, mut messages) = (Decoder::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

fn both_ways<M: Message + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let read = decode::<M>(bytes, usize::MAX);
    assert_eq!(read, decode::<M>(bytes, 7));
    let mut sent = Vec::new();
    for (session, message) in &read.0 {
        encode(*session, message, &mut sent).expect("it came in one");
    }
    assert_eq!(decode::<M>(&sent, usize::MAX), (read.0, None));
}

fuzz_target!(|bytes: &[u8]| {
    both_ways::<ToGuest>(bytes);
    both_ways::<FromGuest>(bytes);
});
