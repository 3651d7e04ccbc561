use super::*;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// A confined process is confined for good, so the tests are programs of their own: this one again.
const ROLE: &str = "HC_TEST_CONFINED";

#[test]
fn what_is_not_needed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("input"), dir.path().join("out"));
    hc_fs::plain::write(&input, b"input", 0o644).unwrap();
    hc_fs::plain::create_dir(&out, 0o755).unwrap();
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "confine::tests::confined", "--ignored", "--nocapture"])
        .env(ROLE, dir.path())
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    assert_eq!(std::fs::read(out.join("written")).unwrap(), b"input");
    assert!(!dir.path().join("beside").exists());
}

#[test]
#[ignore = "started by what_is_not_needed_is_refused"]
fn confined() {
    let dir = PathBuf::from(std::env::var_os(ROLE).expect("started by the other test"));
    let (input, out) = (dir.join("input"), dir.join("out"));
    let has_landlock = has_landlock();
    this_process(std::slice::from_ref(&input), &[&out], 1 << 20).unwrap();
    // A thread is allowed, and confined like the others.
    std::thread::spawn(move || {
        let bytes = std::fs::read(&input).unwrap();
        hc_fs::plain::write(&out.join("written"), &bytes, 0o644).unwrap();
        if has_landlock {
            hc_fs::plain::write(&dir.join("beside"), b"", 0o644).unwrap_err();
            std::fs::read("/proc/self/maps").unwrap_err();
        }
        let refused = |e: std::io::Error| e.raw_os_error() == Some(libc::EPERM);
        assert!(refused(std::net::TcpListener::bind("127.0.0.1:0").unwrap_err()));
        assert!(refused(Command::new("/bin/true").status().unwrap_err()));
        assert!(refused(Command::new("/bin/true").exec()));
    })
    .join()
    .unwrap();
}

/// Whether this kernel has Landlock.
fn has_landlock() -> bool {
    std::fs::read_to_string("/sys/kernel/security/lsm").is_ok_and(|all| all.contains("landlock"))
}
