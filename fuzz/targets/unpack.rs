//! Any bytes as an archive: nothing is written outside of the tree, and nothing that it unpacks to is
//! followed.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory in memory");
    let (file, inside) = (dir.path().join("archive"), dir.path().join("inside"));
    std::fs::write(&file, bytes).expect("a file in memory");
    std::fs::create_dir(&inside).expect("a directory in memory");
    let _ = nix_fetch::unpack(&file, &inside.join("tree"));
    let names = |dir: &std::path::Path| std::fs::read_dir(dir).expect("a directory").count();
    assert!(names(&inside) <= 1);
    assert_eq!(names(dir.path()), 2);
});
