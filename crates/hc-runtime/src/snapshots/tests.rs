use super::*;
use hc_fs::plain;

fn pc(dir: &Path) -> Snapshots {
    let machine = Name::new("pc").unwrap();
    let snapshots = Snapshots::new(&dir.join("run"), dir, &machine);
    let state = &snapshots.places.state;
    plain::create_dir_all(&state.join("disks/system"), 0o755).unwrap();
    plain::create_dir_all(&state.join("tpm"), 0o755).unwrap();
    set(&snapshots, "one");
    let image = Path::new("/nix/store/x/disk.raw");
    plain::symlink(image, &state.join("disks/system/image")).unwrap();
    snapshots
}

const FILES: [&str; 3] = ["disks/system/disk.qcow2", "nvram", "tpm/tpm2-00.permall"];

fn set(snapshots: &Snapshots, to: &str) {
    for file in FILES {
        plain::write(&snapshots.places.state.join(file), to.as_bytes(), 0o600).unwrap();
    }
}

/// What is in the machine's files; they are all the same, or this fails.
fn get(snapshots: &Snapshots) -> String {
    let read = |file: &&str| std::fs::read_to_string(snapshots.places.state.join(file)).unwrap();
    let all: Vec<String> = FILES.iter().map(read).collect();
    assert!(all.iter().all(|text| *text == all[0]), "{all:?}");
    all[0].clone()
}

/// Does something for which the machine must not run: a process that another test has just forked may still
/// have its lock's file open.
fn patiently<T>(mut work: impl FnMut() -> Option<T>) -> T {
    for _ in 0..500 {
        if let Some(done) = work() {
            return done;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("it runs");
}

fn restore(snapshots: &Snapshots, name: &str) -> String {
    patiently(|| match snapshots.restore(name, false) {
        Err(SnapshotError::Runs(_)) => None,
        restored => Some(restored.unwrap()),
    })
}

#[test]
fn what_was_kept_comes_back_and_what_was_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let snapshots = pc(dir.path());
    let made = snapshots.take(Some("first"), false).unwrap();
    assert_eq!(made, Made { name: "first".into(), paused_us: None });
    set(&snapshots, "two");
    let before = restore(&snapshots, "first");
    assert_eq!(get(&snapshots), "one");
    assert!(snapshots.places.state.join("disks/system/image").is_symlink());
    restore(&snapshots, &before);
    assert_eq!(get(&snapshots), "two");
    assert_eq!(snapshots.list().unwrap().len(), 3);
    snapshots.remove("first").unwrap();
    let gone = patiently(|| match snapshots.restore("first", false) {
        Err(SnapshotError::Runs(_)) => None,
        gone => Some(gone.unwrap_err().to_string()),
    });
    insta::assert_snapshot!(gone, @"machine 'pc' has no snapshot 'first'");
    for wrong in ["back", ".x", "a/b", ""] {
        assert!(matches!(snapshots.take(Some(wrong), false), Err(SnapshotError::Name(_))));
    }
    let again = snapshots.take(Some(&before), false).unwrap_err();
    assert!(matches!(again, SnapshotError::Exists { .. }));
}

#[test]
fn a_machine_that_runs_is_not_restored() {
    let dir = tempfile::tempdir().unwrap();
    let snapshots = pc(dir.path());
    snapshots.take(Some("first"), false).unwrap();
    let _used = patiently(|| Snapshots::hold(&snapshots.places).unwrap());
    assert!(matches!(snapshots.restore("first", false), Err(SnapshotError::Runs(_))));
    // There is no supervisor that would have it stand still.
    assert!(matches!(snapshots.take(None, false), Err(SnapshotError::Restless { .. })));
    assert_eq!(snapshots.list().unwrap().len(), 1);
}

#[test]
fn a_restore_that_was_cut_off_is_finished() {
    // Everything is in `back`, and so many of its parts were moved already.
    for moved in 0..=PARTS.len() {
        let dir = tempfile::tempdir().unwrap();
        let snapshots = pc(dir.path());
        let _changing = snapshots.changing().unwrap();
        snapshots.keep(&snapshots.places.state, BACK, false).unwrap();
        set(&snapshots, "two");
        let (back, state) = (snapshots.dir().join(BACK), &snapshots.places.state);
        for part in &PARTS[..moved] {
            hc_fs::tree::remove(&state.join(part)).unwrap();
            plain::rename(&back.join(part), &state.join(part)).unwrap();
        }
        // And the next was only removed.
        if let Some(next) = PARTS.get(moved) {
            hc_fs::tree::remove(&state.join(next)).unwrap();
        }
        snapshots.settle().unwrap();
        assert_eq!(get(&snapshots), "one", "after {moved} parts");
        assert!(!back.exists());
    }
}

#[test]
fn images_below_snapshots_are_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let snapshots = pc(dir.path());
    let disk = dir.path().join("machines/pc/disks/system/disk.qcow2");
    let file = plain::create(&disk, 0o600).unwrap();
    crate::disk::qcow2::create(&file, Path::new("/nix/store/x/disk.raw"), 1 << 20).unwrap();
    snapshots.take(Some("first"), false).unwrap();
    let disks = crate::disk::Disks::new(dir.path());
    hc_fs::tree::remove(&dir.path().join("machines/pc/disks")).unwrap();
    assert!(disks.read_image("x").unwrap());
    assert!(!disks.read_image("y").unwrap());
}
