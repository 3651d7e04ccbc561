//! How long a start takes, printed and not judged: `cargo test -p hc-runtime -- --ignored spawn --nocapture`.

use crate::place::Place;
use hc_runtime::logs;
use serde_json::json;
use std::time::{Instant, SystemTime};

#[test]
#[ignore = "a measurement"]
fn spawn_time() {
    let mut place = Place::new();
    place.run("true", &json!({}));
    let closure = place.closure("true", &json!({"command": ["echo", "said"]}));
    let (mut said, mut gone) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        let (begin, clock) = (Instant::now(), SystemTime::UNIX_EPOCH.elapsed().unwrap());
        assert!(place.command(&closure).status().unwrap().success());
        gone.push(begin.elapsed().as_micros());
        let lines = logs::tail(&place.places().log(), 2).unwrap();
        let line = lines.iter().find(|line| line.text == b"said").unwrap();
        said.push(u128::from(line.time_us) - clock.as_micros());
    }
    for (what, mut times) in [("its first line is in the log", said), ("cleaned up", gone)] {
        times.sort_unstable();
        println!("µs until {what}: p50 {} p95 {} max {}", times[50], times[95], times[99]);
    }
}
