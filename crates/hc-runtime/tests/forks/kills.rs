//! Killed at every system call that changes something, refused at every one, and many at once.

use crate::place::{Place, contents, digest, on};
use hc_runtime::base::ImageFile;

/// What changes or locks something, by whatever name the C library calls it.
const CALLS: [&str; 13] = [
    "openat",
    "/^rename",
    "/^mkdir",
    "/^symlink",
    "/^unlink",
    "rmdir",
    "ioctl",
    "ftruncate",
    "pwrite64",
    "write",
    "fsync",
    "flock",
    "fchmod",
];

/// Goes through the calls of one run, `what` happening at each: `signal=KILL` or `error=ENOSPC`.
/// After each, what `whole` says must hold, and the same run once more must work.
fn at_every_call(place: &Place, image: &ImageFile, rest: &[&str], what: &str, undo: &dyn Fn()) {
    let mut happened = 0;
    for call in CALLS {
        // Each name has a count of its own.
        happened += at_each(place, image, rest, (call, what), undo);
    }
    assert!(happened > 20, "only {happened} calls were there to fail");
}

fn at_each(
    place: &Place,
    image: &ImageFile,
    rest: &[&str],
    (call, what): (&str, &str),
    undo: &dyn Fn(),
) -> usize {
    let log = place.elsewhere.join("strace");
    let trace = format!("trace={call}");
    for when in 1.. {
        undo();
        let before = place.disks().list().unwrap();
        let inject = format!("inject={call}:{what}:when={when}");
        let log = log.to_str().unwrap();
        let under = ["strace", "-o", log, "-e", &trace, "-e", &inject];
        let ran = place.process(&under, image, rest);
        let calls = std::fs::read_to_string(log).unwrap();
        if !calls.contains("INJECTED") && !calls.contains("killed by SIGKILL") {
            assert!(ran.status.success(), "{ran:?}");
            return when - 1;
        }
        let now = place.disks().list().unwrap();
        let last = || calls.lines().rev().take(3).collect::<Vec<_>>().join("\n");
        let is_new = now.len() == 1 && now[0].image.as_ref() == Some(&image.logical);
        assert!(now == before || is_new, "{when}: {before:?}, now {now:?}, after\n{}", last());
        if let [disk] = &now[..] {
            let image = ImageFile::new(disk.image.as_deref().unwrap(), Some(&place.root)).unwrap();
            let same = contents(disk) == std::fs::read(&image.physical).unwrap();
            assert!(same, "{when}: the fork is not its image, after\n{}", last());
        }
        if !ran.status.success() {
            let again = place.process(&[], image, rest);
            assert!(again.status.success(), "{when}: {again:?}, after\n{}", last());
        }
        let rubbish = rubbish(place);
        assert!(rubbish.is_empty(), "{call} {when}: {rubbish:?} is left, after\n{}", last());
    }
    unreachable!("a process ends")
}

fn rubbish(place: &Place) -> Vec<String> {
    let found = crate::place::run(
        std::process::Command::new("find")
            .arg(&place.state)
            .args(["(", "-name", "*.tmp", "-o", "-name", ".*", ")"]),
    );
    found.lines().map(str::to_owned).collect()
}

fn matrix(mkfs: &[&str], what: &'static str) {
    on(mkfs, 512, |place| {
        let (old, new) = (place.image("old", 4), place.image("newer", 4));
        at_every_call(&place, &new, &["m", "root"], what, &|| place.clear());
        let begin = || {
            place.clear();
            assert!(place.process(&[], &old, &["m", "root"]).status.success());
        };
        at_every_call(&place, &new, &["m", "root", "--replace"], what, &begin);
    });
}

#[test]
fn killed_at_any_call_with_a_copy_there_is_the_old_or_the_new() {
    matrix(&["mkfs.xfs", "-q"], "signal=KILL");
}

#[test]
fn killed_at_any_call_with_an_overlay_there_is_the_old_or_the_new() {
    matrix(&["mkfs.ext4", "-q"], "signal=KILL");
}

#[test]
fn refused_at_any_call_there_is_the_old_or_the_new() {
    matrix(&["mkfs.xfs", "-q"], "error=ENOSPC");
    matrix(&["mkfs.ext4", "-q"], "error=ENOSPC");
}

#[test]
fn killed_at_any_call_a_subvolume_is_whole_or_not_there() {
    on(&["mkfs.btrfs", "-q"], 512, |place| {
        let (image, tree) = place.root_image();
        let whole = digest(&tree);
        let base = place.state.join("bases").join(&image.image).join("rootfs");
        let log = place.elsewhere.join("strace");
        let log = log.to_str().unwrap();
        let mut happened = 0;
        for call in
            ["openat", "/^mkdir", "/^symlink", "/chown", "ioctl", "pwrite64", "/^rename", "syncfs"]
        {
            for when in 1.. {
                place.clear();
                let (trace, inject) =
                    (format!("trace={call}"), format!("inject={call}:signal=KILL:when={when}"));
                let under = ["strace", "-o", log, "-e", &trace, "-e", &inject];
                let ran = place.process(&under, &image, &["--root"]);
                let killed = std::fs::read_to_string(log).unwrap().contains("killed by SIGKILL");
                assert!(killed || ran.status.success(), "{ran:?}");
                assert!(!base.exists() || digest(&base) == whole, "{call} {when}");
                let again = place.process(&[], &image, &["--root"]);
                assert!(again.status.success(), "{call} {when}: {again:?}");
                assert!(digest(&base) == whole, "{call} {when}");
                assert_eq!(rubbish(&place), Vec::<String>::new(), "{call} {when}");
                if !killed {
                    break;
                }
                happened += 1;
            }
        }
        assert!(happened > 20, "only {happened} calls were there to be killed at");
    });
}

#[test]
fn a_collector_killed_at_any_call_is_followed_by_one_that_ends() {
    for mkfs in ["mkfs.xfs", "mkfs.ext4"] {
        on(&[mkfs, "-q"], 512, |place| {
            let image = place.image("one", 4);
            let contents_of = std::fs::read(&image.physical).unwrap();
            let log = place.elsewhere.join("strace");
            let log = log.to_str().unwrap();
            let mut happened = 0;
            for call in ["openat", "open", "flock", "/^unlink", "rmdir", "fsync"] {
                for when in 1.. {
                    place.clear();
                    std::fs::create_dir_all(image.physical.parent().unwrap()).unwrap();
                    std::fs::write(&image.physical, &contents_of).unwrap();
                    let forked = place.process(&[], &image, &["m"]);
                    assert!(forked.status.success(), "{forked:?}");
                    // Nothing needs the image any more, and it is gone.
                    std::fs::remove_dir_all(place.state.join("machines/m")).unwrap();
                    std::fs::remove_dir_all(image.physical.parent().unwrap()).unwrap();
                    let (trace, inject) =
                        (format!("trace={call}"), format!("inject={call}:signal=KILL:when={when}"));
                    let under = ["strace", "-o", log, "-e", &trace, "-e", &inject];
                    let ran = place.process(&under, &image, &["--gc"]);
                    let killed =
                        std::fs::read_to_string(log).unwrap().contains("killed by SIGKILL");
                    assert!(killed || ran.status.success(), "{ran:?}");
                    let again = place.process(&[], &image, &["--gc"]);
                    assert!(again.status.success(), "{call} {when}: {again:?}");
                    assert_eq!(place.bases().list().unwrap(), [], "{call} {when}");
                    if !killed {
                        break;
                    }
                    happened += 1;
                }
            }
            assert!(happened > 5, "only {happened} calls were there to be killed at");
        });
    }
}

#[test]
fn many_at_once_make_one_copy() {
    for (mkfs, copies) in [("mkfs.xfs", 1), ("mkfs.ext4", 0)] {
        on(&[mkfs, "-q"], 512, |place| {
            let image = place.image("one", 32);
            let place = &place;
            for round in 0..4 {
                let names: Vec<String> = (0..8).map(|i| format!("m{round}-{i}")).collect();
                // With collectors in between: they take what nobody uses, and nothing else.
                let (made, collected): (Vec<_>, Vec<_>) = std::thread::scope(|scope| {
                    let start = |words: Vec<String>| {
                        let image = &image;
                        let (state, root) = (&place.state, &place.root);
                        scope.spawn(move || process(state, root, image, &words))
                    };
                    let forks: Vec<_> = names.iter().map(|m| start(vec![m.clone()])).collect();
                    let gcs: Vec<_> = (0..4).map(|_| start(vec!["--gc".into()])).collect();
                    let join = |all: Vec<std::thread::ScopedJoinHandle<'_, _>>| {
                        all.into_iter().map(|one| one.join().unwrap()).collect()
                    };
                    (join(forks), join(gcs))
                });
                for output in made.iter().chain(&collected) {
                    let output: &std::process::Output = output;
                    assert!(output.status.success(), "{output:?}");
                }
                let said: String =
                    made.iter().map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).collect();
                let expected = if round == 0 { copies } else { 0 };
                assert_eq!(said.matches("copied").count(), expected, "{said}");
            }
            let disks = place.disks().list().unwrap();
            assert_eq!(disks.len(), 32);
            assert!(contents(&disks[31]) == std::fs::read(&image.physical).unwrap());
            assert_eq!(rubbish(place), Vec::<String>::new());
        });
    }
}

/// As [`Place::process`], from another thread: its namespace is the one of who started it.
fn process(
    state: &std::path::Path,
    root: &std::path::Path,
    image: &ImageFile,
    words: &[String],
) -> std::process::Output {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(std::path::Path::parent).unwrap().join("examples/fork");
    let mut command = std::process::Command::new(program);
    command.args([state, root, &image.logical]).args(words).output().unwrap()
}
