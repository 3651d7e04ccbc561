//! Any bytes as a line of a machine's log: what is read can be written and read again, and a file of
//! such lines can be looked through.
#![no_main]

use hc_runtime::logs::{Line, current, tail};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for text in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(line) = Line::parse(text) else { continue };
        let mut written = format!("{} {} ", line.time_us, line.stream.letter()).into_bytes();
        written.extend(&line.text);
        assert_eq!(Line::parse(&written), Some(line));
    }
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory in memory");
    std::fs::write(current(dir.path()), bytes).expect("a file in memory");
    assert!(tail(dir.path(), 3).expect("a log can be read").len() <= 3);
});
