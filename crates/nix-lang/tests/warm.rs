//! Warm evaluation says what cold evaluation says, whatever is edited.

#![allow(clippy::disallowed_methods)]

mod random;

use std::path::{Path, PathBuf};

use nix_lang::{Arena, ComputeIo, ErrorKind, Evaluator, Settings, on_big_stack};

/// What evaluating a project gives: JSON, or the whole report of the error.
fn outcome(nix: &Evaluator<'_>, dir: &Path) -> String {
    let value = nix.eval_file(dir.join("default.nix"));
    match value.and_then(|value| nix.to_json_text(value)) {
        Ok(text) => text,
        // Where a circle runs out of stack depends on how the two got there.
        Err(error) if error.kind() == ErrorKind::StackOverflow => "stack overflow".to_owned(),
        Err(error) => error.report().to_owned(),
    }
}

fn cold(dir: &Path) -> String {
    let arena = Arena::new();
    outcome(&Evaluator::new(&arena, ComputeIo::new(), Settings::default()), dir)
}

struct Project {
    dir: tempfile::TempDir,
}

impl Project {
    fn new(files: &[(&str, &str)]) -> Self {
        let project = Project { dir: tempfile::tempdir().expect("a directory") };
        for (name, text) in files {
            project.write(name, text);
        }
        project
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(&path, text).expect("written");
        path
    }
}

/// Run a first time, then after each edit; compare with cold each time. Gives how many thunks ran.
fn edits(files: &[(&str, &str)], edits: &[(&str, &str)]) -> Vec<usize> {
    let project = Project::new(files);
    let dir = project.dir.path();
    on_big_stack(|| {
        let arena = Arena::new();
        let nix = Evaluator::warm(&arena, ComputeIo::new(), Settings::default());
        let first = nix.again(None, |nix| outcome(nix, dir));
        assert_eq!(first, cold(dir));
        let mut ran = vec![nix.warm_stats().run];
        for (name, text) in edits {
            let path = project.write(name, text);
            let warm = nix.again(Some(&[path]), |nix| outcome(nix, dir));
            assert_eq!(warm, cold(dir), "after {name} became {text}");
            assert!(!nix.is_spoiled());
            ran.push(nix.warm_stats().run);
        }
        ran
    })
    .expect("a thread")
}

const MACHINES: &str = "let
  lib = import ./lib.nix;
  all = import ./machines.nix { inherit lib; };
in builtins.mapAttrs (name: machine: lib.spec name machine all) all";

const LIB: &str = "rec {
  twice = x: x + x;
  spec = name: machine: all: {
    inherit name;
    memory = twice (machine.memory or 1);
    peers = builtins.filter (other: other != name) (builtins.attrNames all);
    text = \"${name}: ${toString (machine.memory or 1)}\";
    first = (builtins.head (builtins.attrValues all)).memory;
  };
}";

fn machines(count: usize, special: (usize, &str)) -> String {
    let mut text = "{ lib }: {\n".to_owned();
    for index in 0..count {
        let memory = if index == special.0 { special.1 } else { "16" };
        text.push_str(&format!("  m{index:03} = {{ memory = {memory}; }};\n"));
    }
    text + "}\n"
}

#[test]
fn an_edit_runs_what_it_can_change() {
    let before = machines(100, (7, "16"));
    let after = machines(100, (7, "32 * 4"));
    let more = machines(101, (7, "32 * 4"));
    let broken = machines(101, (7, "32 *"));
    let ran = edits(
        &[("default.nix", MACHINES), ("lib.nix", LIB), ("machines.nix", &before)],
        &[
            ("machines.nix", &after),
            ("machines.nix", &format!("# a remark\n{after}")),
            ("machines.nix", &more),
            ("machines.nix", &broken),
            ("machines.nix", &more),
            ("lib.nix", &LIB.replace("x + x", "2 * x")),
        ],
    );
    let first = ran[0];
    assert!(ran[1] < first / 10, "{ran:?}");
    assert!(ran[2] < first / 10, "{ran:?}");
}

#[test]
fn places_are_those_of_the_newest_version() {
    let text = "{ a = 1;\n  b = builtins.unsafeGetAttrPos \"a\" (import ./x.nix); c = (import ./x.nix).a; }";
    edits(
        &[("default.nix", text), ("x.nix", "{ z = 1; a = 1; }")],
        &[
            ("x.nix", "{ z = 1;\n a = 1; }"),
            ("x.nix", "\n\n{ z = 1;\n a = 1; }"),
            ("x.nix", "\n\n{ z = 1;\n a = throw \"no\"; }"),
            ("x.nix", "{ z = 1; a = throw \"no\"; }"),
            ("x.nix", "{ z = 1; a = 2; }"),
        ],
    );
}

#[test]
fn errors_that_were_caught_are_looked_at_again() {
    let text = "let x = builtins.tryEval (import ./x.nix); in [ x.success (x.value or null) ]";
    edits(
        &[("default.nix", text), ("x.nix", "throw \"a\"")],
        &[("x.nix", "1"), ("x.nix", "throw \"b\""), ("x.nix", "1"), ("x.nix", "assert false; 2")],
    );
}

#[test]
fn a_failure_that_cannot_be_caught_any_more() {
    let text = "(builtins.tryEval (if import ./x.nix then 1 else 2)).value";
    edits(
        &[("default.nix", text), ("x.nix", "throw \"a\"")],
        &[
            ("x.nix", "let y = y; in y"),
            ("x.nix", "throw \"a\""),
            ("x.nix", "[ ]"),
            ("x.nix", "true"),
        ],
    );
}

#[test]
fn what_is_there_counts_too() {
    let text = "{ there = builtins.pathExists ./x.nix; names = builtins.attrNames (builtins.readDir ./d); \
                text = builtins.readFile ./d/a; stored = \"${./d}\"; }";
    edits(
        &[("default.nix", text), ("d/a", "1")],
        &[("x.nix", ""), ("d/b", "2"), ("d/a", "3"), ("d/a", "3")],
    );
}

#[test]
fn a_variable_that_comes_to_mean_itself() {
    edits(
        &[("default.nix", "let x = rec { c = true; d = (c); }; in x.d")],
        &[
            ("default.nix", "let x = rec { c = true; d = (d); }; in x.d"),
            ("default.nix", "let x = rec { c = true; d = (c); }; in x.d"),
        ],
    );
}

/// A module system in small: the knot between all modules and their result.
const KNOT: &str = "let
  eval = modules: let
    config = builtins.zipAttrsWith (name: values: builtins.foldl' (a: b: a + b) 0 values)
      (map (module: module { inherit config; }) modules);
  in config;
in eval (map (name: import (./. + \"/${name}.nix\")) [ \"a\" \"b\" \"c\" ])";

#[test]
fn knots() {
    edits(
        &[
            ("default.nix", KNOT),
            ("a.nix", "{ config }: { x = 1; y = config.x; }"),
            ("b.nix", "{ config }: { y = 2; z = config.y + config.x; }"),
            ("c.nix", "{ config }: { z = 3; }"),
        ],
        &[
            ("c.nix", "{ config }: { z = 4; }"),
            ("a.nix", "{ config }: { x = 10; y = config.x; }"),
            ("a.nix", "{ config }: { x = config.z; y = 0; }"),
            ("b.nix", "{ config }: { y = 2; z = config.y; }"),
            ("c.nix", "{ config }: { z = 4; w = config.z; }"),
            ("c.nix", "{ config, ... }: { w = config.z; z = 4; }"),
        ],
    );
}

/// Warm says what cold says, values and reports of errors, over random projects and edits.
fn random_projects(seeds: std::ops::Range<u64>, edits: usize) {
    const FILES: usize = 5;
    for seed in seeds {
        let mut dice = random::Dice::new(seed);
        let project = Project::new(&[("text", "some")]);
        let dir = project.dir.path();
        let mut trees: Vec<random::Tree> =
            (0..FILES).map(|file| random::Tree::new(&mut dice, &[], file, 4)).collect();
        let name = |file: usize| {
            if file + 1 == FILES { "default.nix".to_owned() } else { format!("f{file}.nix") }
        };
        let write = |file: usize, tree: &random::Tree| {
            let mut text = String::new();
            tree.render(&mut text);
            project.write(&name(file), &text)
        };
        for (file, tree) in trees.iter().enumerate() {
            write(file, tree);
        }
        // A small stack: random programs like to be endless.
        let run = || {
            let arena = Arena::new();
            let nix = Evaluator::warm(&arena, ComputeIo::new(), Settings::default());
            let mut changed = Vec::new();
            for edit in 0..edits {
                let warm = nix.again(Some(&changed), |nix| outcome(nix, dir));
                let cold = cold(dir);
                let files = || {
                    let read = |file| std::fs::read_to_string(dir.join(name(file)));
                    (0..FILES)
                        .map(|file| read(file).unwrap_or_default())
                        .collect::<Vec<_>>()
                        .join("\n== ")
                };
                if std::env::var_os("WARM_SHOW").is_some() {
                    eprintln!("{}\n-> {cold}", files());
                }
                assert_eq!(warm, cold, "seed {seed}, edit {edit}: {}", files());
                assert!(!nix.is_spoiled(), "seed {seed}, edit {edit}");
                changed.clear();
                for _ in 0..=dice.below(2) {
                    let file = dice.below(FILES);
                    trees[file].edit(&mut dice, file);
                    changed.push(write(file, &trees[file]));
                }
                if dice.below(8) == 0 {
                    changed.push(project.write("text", ["some", "other"][dice.below(2)]));
                }
            }
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(24 << 20);
            let done = thread.spawn_scoped(scope, run).expect("a thread").join();
            done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
    }
}

#[test]
fn warm_is_cold_over_random_edits() {
    let count = std::env::var("WARM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let first = std::env::var("WARM_FIRST").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    random_projects(first..first + count, 12);
}
