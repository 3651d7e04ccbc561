use super::*;
use proptest::prelude::*;
use std::io::Write;
use std::process::{Command, Stdio};

/// What the format's own tool makes of `bytes`.
pub(crate) fn packed(command: &[&str], bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("tests need {}: {e}", command[0]));
    let mut input = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let feed = std::thread::spawn(move || input.write_all(&bytes).unwrap());
    let out = child.wait_with_output().unwrap();
    feed.join().unwrap();
    assert!(out.status.success());
    out.stdout
}

pub(crate) const TOOLS: [(Format, &[&str]); 7] = [
    (Format::Gzip, &["gzip", "-n9"]),
    (Format::Xz, &["xz", "--check=crc32", "--x86", "--lzma2=dict=32MiB"]),
    (Format::Lzma, &["xz", "--format=lzma"]),
    (Format::Zstd, &["zstd", "-22", "--ultra", "-q", "-c"]),
    (Format::Bzip2, &["bzip2", "-9"]),
    (Format::Lz4, &["lz4", "-l", "-9", "-c"]),
    (Format::Lzo, &["lzop", "-9"]),
];

/// Some that repeats near and far, and some that does not.
fn sample() -> Vec<u8> {
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let mut bytes: Vec<u8> = (0..40_000).map(|_| noise()).collect();
    bytes.extend(vec![7; 70_000]);
    let again = bytes[1000..30_000].to_vec();
    bytes.extend(again);
    bytes.extend(b"abcabcabcabd".repeat(1000));
    bytes.extend((0..5000).map(|_| noise() & 3));
    bytes
}

#[test]
fn what_each_tool_packs_comes_out_again_and_what_follows_is_left() {
    for bytes in [sample(), b"x".to_vec(), sample()[..100].to_vec()] {
        for (format, tool) in TOOLS {
            let packed = packed(tool, &bytes);
            assert_eq!(Format::detect(&packed), Some(format));
            // Padding ends an LZ4 stream, which has no end.
            let with_more = [&packed[..], &[0; 4]].concat();
            let mut input = &with_more[..];
            let out = all(format.decoder(&mut input).unwrap(), 1 << 20).unwrap();
            assert!(out == bytes, "{format}: {} bytes instead of {}", out.len(), bytes.len());
            assert!(input.len() == 4 || format == Format::Lz4, "{format}: {} left", input.len());
        }
    }
}

#[test]
fn a_bomb_stops_at_the_limit() {
    for (format, tool) in TOOLS {
        let packed = packed(tool, &vec![0; 3 << 20]);
        let error = all(format.decoder(&mut &packed[..]).unwrap(), 1 << 20).unwrap_err();
        assert_eq!(error.to_string(), "it unpacks to more than 1048576 bytes", "{format}");
    }
}

proptest! {
    #[test]
    fn damaged_streams_end(at in 0usize..2000, bit in 0u8..8, cut in 0usize..4000, tool in 5usize..7) {
        let (format, tool) = TOOLS[tool];
        let mut packed = packed(tool, &sample()[38_000..48_000]);
        let at = at % packed.len();
        packed[at] ^= 1 << bit;
        packed.truncate(packed.len().saturating_sub(cut));
        let _ = all(format.decoder(&mut &packed[..]).unwrap(), 1 << 20);
    }
}
