//! How long forks take, printed and not judged; `checks/bench/forks.sh` runs it.
//!
//! `HC_BENCH` is `KIND STATE_DIR STORE_ROOT IMAGE_FILE RUNS`; KIND is `disk`, `root`, `base` or
//! `root-base`.

use crate::base::{Bases, ImageFile};
use crate::config::Places;
use crate::disk::{Disks, Request};
use crate::fork::Fork;
use hc_spec::Name;
use std::path::Path;
use std::time::Instant;

#[test]
#[ignore = "a measurement"]
fn forks() {
    let words = std::env::var("HC_BENCH").expect("HC_BENCH says what is measured");
    let words: Vec<&str> = words.split(' ').collect();
    let [kind, state, root, image, runs] = words[..] else { panic!("{words:?}") };
    let state = Path::new(state);
    let image = ImageFile::new(Path::new(image), Some(Path::new(root))).unwrap();
    let bases = Bases::new(state);
    let keep = |_: &Path| Ok(());
    for run in 0..runs.parse().unwrap() {
        let name = Name::new(format!("m{}-{run}", std::process::id())).unwrap();
        let places = Places::new(Path::new("/nonexistent"), state, name.as_str());
        hc_fs::plain::create_dir_all(&places.state, 0o755).unwrap();
        let began = Instant::now();
        // Taken away after the clock is read: a machine's goes when it stops.
        let mut mounted = None;
        match kind {
            "disk" => {
                let disk = &Name::new("root").unwrap();
                let request =
                    Request { machine: &name, disk, image: &image, size: None, replace: false };
                Disks::new(state).fork(&request, &keep, &|_| ()).unwrap();
            }
            "root" => {
                let fork =
                    Fork::prepare(&places, Path::new("/c"), Some((&bases, &image)), None).unwrap();
                let mut lingering = hc_fs::Lingering::default();
                mounted = Some(fork.mount(&image.physical, None, &mut lingering).unwrap());
            }
            "base" => drop(bases.make_disk(&image, &|_| ()).unwrap()),
            "root-base" => drop(bases.make_root(&image, &|_| ()).unwrap()),
            other => panic!("{other}"),
        }
        println!("ms {}", began.elapsed().as_secs_f64() * 1000.0);
        drop(mounted);
    }
}
