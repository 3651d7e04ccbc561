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

#[test]
fn a_child_is_confined_and_this_process_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "confine::tests::with_children", "--ignored", "--nocapture"])
        .args(["--test-threads", "1"])
        .env(ROLE, dir.path())
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
}

#[test]
#[ignore = "started by a_child_is_confined_and_this_process_is_not"]
fn with_children() {
    let dir = PathBuf::from(std::env::var_os(ROLE).expect("started by the other test"));
    let (input, out) = (dir.join("input"), dir.join("out"));
    hc_fs::plain::write(&input, b"input", 0o644).unwrap();
    hc_fs::plain::create_dir(&out, 0o755).unwrap();
    // The tests' own threads are two; a copy of one of them is what a copy of a process is.
    let child = |work: &dyn Fn() -> Result<String>| -> Result<String> {
        child::of_this_thread(std::slice::from_ref(&input), &[&out], 1 << 20, work)
    };
    let read = child(&|| {
        rustix::fs::chown(&out, None, None).unwrap();
        hc_fs::plain::symlink(Path::new("x"), &out.join("link")).map(drop)?;
        assert!(Command::new("/bin/true").status().is_err(), "a program was started");
        assert!(!has_landlock() || std::fs::read("/proc/version").is_err());
        Ok(String::from_utf8(std::fs::read(&input).unwrap()).unwrap())
    });
    assert_eq!(read.unwrap(), "input");
    assert!(out.join("link").is_symlink());
    let why = Error::Tree { path: "/x".into(), why: "is odd".into() };
    let refused = child(&|| Err(Error::Tree { path: "/x".into(), why: "is odd".into() }));
    assert_eq!(refused.unwrap_err().to_string(), why.to_string());
    let died = child(&|| std::process::abort()).unwrap_err().to_string();
    assert!(died.contains("ended before it was done"), "{died}");
    assert!(Command::new("/bin/true").status().unwrap().success(), "this one may do all it could");
}

/// Whether this kernel has Landlock: asked itself, as `/sys/kernel/security` need not be mounted.
fn has_landlock() -> bool {
    const VERSION: u32 = 1;
    let nothing = std::ptr::null::<libc::c_void>();
    // SAFETY: without a rule set, and with this flag, the call only gives a number.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0_usize, VERSION) > 0 }
}
