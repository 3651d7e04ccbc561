//! How long a start takes, printed and not judged: `cargo test -p hc-runtime -- --ignored spawn --nocapture`.

use crate::place::Place;
use serde_json::json;
use std::time::Instant;

#[test]
#[ignore = "a measurement"]
fn spawn_time() {
    let mut place = Place::new();
    place.run("true", &json!({}));
    let closure = place.closure("true", &json!({"command": ["true"]}));
    let mut times: Vec<_> = (0..100)
        .map(|_| {
            let begin = Instant::now();
            assert!(place.command(&closure).status().unwrap().success());
            begin.elapsed()
        })
        .collect();
    times.sort();
    println!("start to cleaned up: p50 {:?} p95 {:?} max {:?}", times[50], times[95], times[99]);
}
