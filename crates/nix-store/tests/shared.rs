//! One store used by hc and by C++ Nix at the same time, from several processes, at random: no
//! path that somebody was told is valid goes away under them, both agree about what is garbage,
//! and C++ Nix finds nothing wrong.
//!
//! `HC_NIX_STORES` names the `nix-store` programs to mix in (separated by `:`; the system's and those
//! below `/opt/peers` otherwise), `HC_SHARED_ROUNDS` says how often, `HC_SHARED_SEED` what to begin with.
#![allow(missing_docs, clippy::disallowed_methods)]

mod common;

use common::{Home, config, nix_store_with};
use nix_compat::Derivation;
use nix_store::{DrvOutput, Error, GcOptions, IngestMethod, Quiet, Store, StorePath};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Processes of hc, and threads that run C++ Nix, in one round.
const WORKERS: u64 = 3;
const STEPS: u64 = 12;

/// Numbers that follow from a seed (xorshift).
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let nth = self.roll(all.len().max(1) as u64);
        all.get(usize::try_from(nth).unwrap())
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

fn nix_stores(dir: &Path) -> Vec<PathBuf> {
    match std::env::var("HC_NIX_STORES") {
        Ok(all) => all.split(':').map(PathBuf::from).collect(),
        Err(_) => common::peers::nix_stores(dir),
    }
}

/// Paths that anybody made, for everybody to choose from.
const KNOWN: &str = "known";
/// Paths that somebody was told are valid, and are not.
const LOST: &str = "lost";
/// Paths that C++ Nix's `--verify` has made invalid. It reads the store's directory first and the
/// database later, and takes what was added in between for gone.
const DISAPPEARED: &str = "disappeared";

fn read(dir: &Path, list: &str) -> Vec<StorePath> {
    let text = std::fs::read_to_string(dir.join(list)).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn write(dir: &Path, list: &str, path: &str) {
    let mut file =
        std::fs::OpenOptions::new().append(true).create(true).open(dir.join(list)).unwrap();
    file.write_all(format!("{path}\n").as_bytes()).unwrap();
}

/// A small tree; few different ones, so that they are made twice and have equal files.
fn tree(dir: &Path, worker: u64, dice: &mut Dice) -> PathBuf {
    let tree = dir.join(format!("tree-{worker}"));
    let _ = std::fs::remove_dir_all(&tree);
    std::fs::create_dir_all(tree.join("sub")).unwrap();
    for n in 0..dice.roll(6) {
        std::fs::write(
            tree.join(format!("sub/{n}")),
            vec![b'x'; 5000 * usize::try_from(n).unwrap()],
        )
        .unwrap();
    }
    std::fs::write(tree.join("which"), dice.roll(8).to_string()).unwrap();
    std::os::unix::fs::symlink("which", tree.join("link")).unwrap();
    tree
}

#[test]
fn hc_and_nix_share_one_store() {
    let first = number("HC_SHARED_SEED", u64::from(std::process::id()));
    for seed in first..first + number("HC_SHARED_ROUNDS", 2) {
        println!("seed {seed}");
        round(seed);
    }
}

fn round(seed: u64) {
    let home = Home::new();
    let dir = home.dir.path();
    let programs = nix_stores(dir);
    std::fs::create_dir(dir.join("roots")).unwrap();
    keep(&home.store, &home.busybox, &dir.join("roots/busybox"));
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (home, program) = (&home, programs[(worker as usize) % programs.len()].clone());
            scope.spawn(move || nix_worker(home, &program, seed, worker));
            scope.spawn(move || {
                let ran = Command::new(std::env::current_exe().unwrap())
                    .args(["--ignored", "--exact", "helper", "--nocapture"])
                    .env("HC_TEST_DIR", dir)
                    .env("HC_TEST_BUSYBOX", home.busybox.to_string())
                    .env("HC_TEST_SEED", seed.to_string())
                    .env("HC_TEST_WORKER", worker.to_string())
                    .stdin(Stdio::null())
                    .output()
                    .unwrap();
                let said = String::from_utf8_lossy(&ran.stdout).into_owned()
                    + &String::from_utf8_lossy(&ran.stderr);
                assert!(ran.status.success() && said.contains("1 passed"), "seed {seed}: {said}");
            });
        }
    });
    let excused = read(dir, DISAPPEARED);
    let lost = read(dir, LOST);
    assert!(lost.iter().all(|path| excused.contains(path)), "seed {seed}: {lost:?} went away");
    // Now that it is quiet, everybody sees the same.
    let Home { dir, store, busybox } = home;
    drop(store);
    let store = Store::open(config(&dir.path().join("root"))).unwrap();
    let home = Home { dir, store, busybox };
    for path in home.store.valid_paths().unwrap() {
        assert!(home.physical(&path).symlink_metadata().is_ok(), "{path} is valid and not there");
    }
    for program in &programs {
        verify(&home, program, seed);
        let options = GcOptions { dry_run: true, ..GcOptions::default() };
        let ours = home.store.gc(&options, &BTreeSet::new()).unwrap().deleted;
        let ran = nix_store_with(program, &home.root(), &["--gc", "--print-dead"]);
        let valid = home.store.valid_paths().unwrap();
        let theirs: BTreeSet<StorePath> = String::from_utf8_lossy(&ran.stdout)
            .lines()
            .filter_map(|line| line.parse().ok())
            .filter(|path| valid.contains(path))
            .collect();
        assert_eq!(ours, theirs, "seed {seed}: what {} calls dead", program.display());
    }
    home.store.optimise(|_, _| {}).unwrap();
    home.store.gc(&GcOptions::default(), &BTreeSet::new()).unwrap();
    for program in &programs {
        verify(&home, program, seed);
        let ran = nix_store_with(program, &home.root(), &["--gc", "--print-dead"]);
        assert_eq!(String::from_utf8_lossy(&ran.stdout), "", "seed {seed}");
    }
    home.nothing_left();
}

fn verify(home: &Home, program: &Path, seed: u64) {
    let ran = nix_store_with(program, &home.root(), &["--verify", "--check-contents"]);
    let said = String::from_utf8_lossy(&ran.stderr);
    let wrong = ["error", "modified", "disappeared", "not found", "invalid", "but"];
    let bad = said.lines().filter(|l| !l.contains("build-users-group"));
    let bad: Vec<_> = bad.filter(|line| wrong.iter().any(|w| line.contains(w))).collect();
    assert!(ran.status.success() && bad.is_empty(), "seed {seed}, {}: {said}", program.display());
}

/// How C++ Nix ends, without naming a path, when a derivation that nobody roots goes away between
/// its being asked for and its being read: with failed assertions of its own.
const ASSERTIONS: [&str; 2] = ["isValidPath(drvPath)", "DerivationTrampolineGoal"];

/// Whether C++ Nix refused because of a path that others may delete while it is asked for it, or
/// refer to while it collects: between its look at a path and the end of it, the collector of 2.8
/// takes roots and lets them be referred to. `--add`, `--optimise` and `--verify` have to succeed
/// whatever others do.
fn refused(arguments: &[&str], said: &str) -> bool {
    match arguments {
        ["--gc"] => return said.contains("because it is in use by"),
        ["--realise" | "--delete", ..] => {}
        _ => return false,
    }
    let names = |line: &str| line.contains("error:") && line.contains("/nix/store/");
    let asserts = |line: &str| ASSERTIONS.iter().any(|assertion| line.contains(assertion));
    said.lines().any(|line| names(line) || asserts(line))
}

fn nix_worker(home: &Home, program: &Path, seed: u64, worker: u64) {
    let dir = home.dir.path();
    let mut dice = Dice::new(seed * 1000 + 500 + worker);
    for step in 0..STEPS {
        let known = read(dir, KNOWN);
        let chosen =
            dice.pick(&known).map_or_else(|| home.busybox.to_string(), ToString::to_string);
        let link = dir.join(format!("roots/nix-{}", dice.roll(3)));
        let link = link.to_str().unwrap();
        let source = tree(dir, 100 + worker, &mut dice);
        let arguments: &[&str] = match dice.roll(8) {
            0 | 1 => &["--add", source.to_str().unwrap()],
            2 => &["--realise", &chosen],
            3 => &["--realise", &chosen, "--add-root", link],
            4 => &["--gc"],
            5 => &["--delete", &chosen],
            6 => &["--optimise"],
            _ => &["--verify", "--check-contents"],
        };
        let ran = nix_store_with(program, &home.root(), arguments);
        let said = String::from_utf8_lossy(&ran.stderr);
        let expected = ran.status.success() || refused(arguments, &said);
        assert!(
            expected
                && !said.contains("corrupt")
                && !said.contains("was modified")
                && !said.contains("terminate"),
            "seed {seed}, step {step}: {} {arguments:?}: {said}",
            program.display()
        );
        for line in said.lines().filter(|line| line.contains("disappeared, removing")) {
            write(dir, DISAPPEARED, line.split('\'').nth(1).unwrap());
        }
        for line in String::from_utf8_lossy(&ran.stdout).lines().filter(|l| l.starts_with('/')) {
            write(dir, KNOWN, line);
        }
    }
}

#[test]
#[ignore = "is run by the test above, as a process of its own"]
fn helper() {
    let Some(dir) = std::env::var_os("HC_TEST_DIR").map(PathBuf::from) else { return };
    let busybox: StorePath = std::env::var("HC_TEST_BUSYBOX").unwrap().parse().unwrap();
    let worker = number("HC_TEST_WORKER", 0);
    let mut dice = Dice::new(number("HC_TEST_SEED", 0) * 1000 + worker);
    // Each store is open for a while: its temporary roots last as long.
    for _ in 0..3 {
        let mut configuration = config(&dir.join("root"));
        configuration.auto_optimise = dice.roll(2) == 0;
        let store = Store::open(configuration).unwrap();
        let mut told = BTreeSet::new();
        for _ in 0..STEPS / 3 {
            match step(&store, &dir, &busybox, worker, &mut dice) {
                Ok(path) => told.extend(path),
                // Somebody deleted what this was to refer to, before it was asked for.
                Err(Error::NotValid { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        told.retain(|path| {
            let (valid, at) = (store.is_valid(path).unwrap(), store.physical(path));
            assert!(at.symlink_metadata().is_ok(), "{path} is gone; it is valid: {valid}");
            if !valid {
                write(&dir, LOST, &path.to_string());
            }
            valid
        });
        for path in store.closure(&told).unwrap() {
            assert!(store.physical(&path).symlink_metadata().is_ok(), "{path} is gone");
        }
    }
}

/// One operation; gives the path that it was told is valid.
fn step(
    store: &Store,
    dir: &Path,
    busybox: &StorePath,
    worker: u64,
    dice: &mut Dice,
) -> nix_store::Result<Option<StorePath>> {
    let known = read(dir, KNOWN);
    let chosen = dice.pick(&known).unwrap_or(busybox).clone();
    let none = BTreeSet::new();
    let made = match dice.roll(8) {
        0 => {
            let name = format!("text-{}", dice.roll(20));
            store.add_text(&name, b"a text", &BTreeSet::from([chosen]))?
        }
        1 => {
            let tree = tree(dir, worker, dice);
            store.add_path("tree", &tree, IngestMethod::Recursive, &none, None)?
        }
        2 | 3 => {
            let script =
                format!("mkdir $out; echo {} > $out/f; echo $input >> $out/f", dice.roll(9));
            let derivation = Derivation::new("built", "x86_64-linux", format!("{busybox}/bin/sh"))
                .argument("-e")
                .argument("-c")
                .argument(script)
                .set("PATH", format!("{busybox}/bin"))
                .set("input", chosen.to_string())
                .set("out", "")
                .input_source(busybox.clone())
                .input_source(chosen)
                .input_addressed_output("out");
            let drv = store.add_derivation(&derivation.build().unwrap())?;
            write(dir, KNOWN, &drv.to_string());
            let wanted = DrvOutput::new(drv, "out");
            store.build(std::slice::from_ref(&wanted), &Quiet)?.remove(&wanted).unwrap()
        }
        4 => {
            let link = dir.join(format!("roots/hc-{}", dice.roll(3)));
            if !store.is_valid(&chosen)? {
                return Ok(None);
            }
            keep(store, &chosen, &link);
            chosen
        }
        5 => {
            let _ = std::fs::remove_file(dir.join(format!("roots/nix-{}", dice.roll(3))));
            let max_freed = [u64::MAX, 4096][usize::try_from(dice.roll(2)).unwrap()];
            store.gc(&GcOptions { max_freed, ..GcOptions::default() }, &none)?;
            return Ok(None);
        }
        6 => {
            store.optimise(|_, _| {})?;
            return Ok(None);
        }
        _ => {
            if !store.is_valid(&chosen)? {
                return Ok(None);
            }
            chosen
        }
    };
    write(dir, KNOWN, &made.to_string());
    Ok(Some(made))
}

fn keep(store: &Store, path: &StorePath, link: &Path) {
    hc_fs::durable::symlink(Path::new(&path.to_string()), link).unwrap();
    // Another may have pointed the link elsewhere since, to what is gone.
    match store.add_root(link) {
        Ok(()) | Err(Error::NotValid { .. } | Error::Root { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}
