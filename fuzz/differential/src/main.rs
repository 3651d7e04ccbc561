//! Random Nix programs, evaluated by hc and by C++ Nix: `hc-differential [--seed N] [--count N]
//! [--batch N] [--directory DIR] [--nix COMMAND] [--confirm COMMAND] [--each N] [--print]`.
//!
//! Prints each program on which they differ, made as small as it gets, and at the end how many
//! were run. `--confirm` is a Nix that is slower and has the last word, such as one with a store of
//! its own: `dummy://` does not keep references. What differs only among others (where the order of
//! attributes is that of when names were first seen) is counted, and no difference. A seed names a program; the programs of a run are those of consecutive seeds.

mod generate;
mod leaves;
mod ours;
mod outcome;
mod random;
mod templates;
mod theirs;
mod tree;

use outcome::Outcome;
use std::collections::HashMap;
use std::path::PathBuf;
use tree::Node;

/// Shows a value as far as it goes, with contexts and store paths, in Nix itself.
pub const SHOW: &str = r#"let b = builtins; show = d: x: let t = b.tryEval x; v = t.value; s = show (d + 1); in
if d > 8 then "~" else if !t.success then "!" else
if b.isInt v then toString v else if b.isFloat v then b.toJSON v + "f" else
if v == null then "N" else if v == true then "T" else if v == false then "F" else
if b.isString v then "<" + b.unsafeDiscardStringContext v + ">" + (if b.hasContext v then b.toJSON (b.getContext v) else "") else
if b.isPath v then "p" + toString v else
if b.isList v then "[" + b.concatStringsSep " " (map s v) + "]" else
if b.isFunction v then "f" + b.toJSON (b.functionArgs v) else
if b.isAttrs v then (if v ? drvPath && b.isString v.drvPath then "D" + b.unsafeDiscardStringContext v.drvPath + " " + s v.outPath else
"{" + b.concatStringsSep "" (map (n: n + "=" + s v.${n} + ";") (b.attrNames v)) + "}") else "?"; in show"#;

struct Options {
    seed: u64,
    count: u64,
    batch: u64,
    directory: PathBuf,
    nix: String,
    confirm: Option<String>,
    print: bool,
    each: u32,
}

fn options() -> Options {
    let mut options = Options {
        seed: 0,
        count: 10_000,
        batch: 2_000,
        directory: PathBuf::from("."),
        nix:
            "NIX_CONFIG='experimental-features = nix-command flakes pipe-operators ca-derivations \
              impure-derivations dynamic-derivations fetch-closure' timeout 120 nix repl --quiet --store \
              'dummy://?read-only=false'"
                .to_owned(),
        confirm: None,
        print: false,
        each: 5,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| panic!("{name} wants a value"));
        let number = |text: String| text.parse().expect("a number");
        match name.as_str() {
            "--seed" => options.seed = number(value()),
            "--count" => options.count = number(value()),
            "--batch" => options.batch = number(value()),
            "--directory" => options.directory = value().into(),
            "--nix" => options.nix = value(),
            "--confirm" => options.confirm = Some(value()),
            "--each" => options.each = number(value()) as u32,
            "--print" => options.print = true,
            other => panic!("unknown argument {other}"),
        }
    }
    options
}

/// The programs' outcomes with both, the other Nix being the one that has the last word.
fn surely(options: &Options, programs: &[String]) -> Vec<(Outcome, Outcome)> {
    with(options, options.confirm.as_ref().unwrap_or(&options.nix), programs)
}

/// The programs' outcomes with both.
fn with(options: &Options, nix: &str, programs: &[String]) -> Vec<(Outcome, Outcome)> {
    let files = options.directory.join("root/files");
    let programs: Vec<String> = programs
        .iter()
        .map(|program| program.replace("%/", &format!("{}/", files.display())))
        .collect();
    let programs = programs.as_slice();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| theirs::evaluate(nix, programs, &options.directory));
        let ours = ours::evaluate(programs, &options.directory);
        ours.into_iter().zip(other.join().expect("the other Nix")).collect()
    })
}

/// The smallest program found that still makes the same kind of difference.
fn shrink(options: &Options, mut program: Node) -> Node {
    for _ in 0..60 {
        let mut candidates = program.smaller();
        candidates.truncate(300);
        let texts: Vec<String> = candidates.iter().map(Node::render).collect();
        let outcomes = surely(options, &texts);
        let differs = outcomes.iter().position(|(ours, theirs)| !ours.agrees(theirs));
        match differs {
            Some(index) if texts[index].len() < program.render().len() => {
                program = candidates.swap_remove(index);
            }
            _ => break,
        }
    }
    program
}

fn main() {
    let mut options = options();
    options.directory = std::path::absolute(&options.directory).expect("the directory");
    if options.print {
        for seed in options.seed..options.seed + options.count {
            println!("{}", generate::program(seed).render());
        }
        return;
    }
    let files = options.directory.join("root/files");
    std::fs::create_dir_all(files.join("dir")).expect("the directory");
    for (name, text) in [
        ("file.txt", "text of a file\n"),
        ("dir/in.nix", "x: { it = x; here = ./.; }\n"),
        ("dir/a", "a\n"),
    ] {
        std::fs::write(files.join(name), text).expect("a file");
    }
    let link = files.join("link");
    if link.symlink_metadata().is_err() {
        std::os::unix::fs::symlink("file.txt", link).expect("a symlink");
    }
    let (mut done, mut values, mut differences, mut together) = (0, 0, 0, 0);
    let mut kinds: HashMap<String, u32> = HashMap::new();
    while done < options.count {
        let first = options.seed + done;
        let count = options.batch.min(options.count - done);
        let programs: Vec<Node> = (first..first + count).map(generate::program).collect();
        let texts: Vec<String> = programs.iter().map(Node::render).collect();
        for (index, (ours, theirs)) in with(&options, &options.nix, &texts).into_iter().enumerate()
        {
            values += u64::from(matches!(theirs, Outcome::Value(_)));
            if ours.agrees(&theirs) {
                continue;
            }
            // The same difference again and again says nothing new.
            let kind = format!("{} {}", ours.kind(), theirs.kind());
            if kinds.get(&kind).is_some_and(|seen| *seen >= options.each) {
                differences += 1;
                continue;
            }
            let alone = surely(&options, std::slice::from_ref(&texts[index]));
            if alone.iter().all(|(ours, theirs)| ours.agrees(theirs)) {
                together += 1;
                continue;
            }
            differences += 1;
            *kinds.entry(kind).or_default() += 1;
            println!("seed {}", first + index as u64);
            println!("  hc   {ours}\n  nix  {theirs}");
            let small = shrink(&options, programs[index].clone()).render();
            let outcomes = surely(&options, std::slice::from_ref(&small));
            println!("  {small}");
            for (ours, theirs) in outcomes {
                println!("  hc   {ours}\n  nix  {theirs}");
            }
        }
        done += count;
        eprintln!(
            "{done} programs, {values} with a value, {differences} differences, {together} among others only"
        );
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (kind, count) in kinds {
        println!("{count:6}  {kind}");
    }
    println!("{done} programs, {values} with a value, {differences} differences");
    std::process::exit(i32::from(differences > 0));
}
