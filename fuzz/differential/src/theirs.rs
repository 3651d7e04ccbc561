//! C++ Nix, as one `nix repl` for many programs: an error does not end it.

use crate::outcome::{Outcome, classify};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

const PROMPT: &str = "nix-repl> :p p";

/// Runs `command` (a shell's) with every program. Where it ends early, the program it was at gets
/// no outcome and the rest is run again.
pub fn evaluate(command: &str, programs: &[String], directory: &Path) -> Vec<Outcome> {
    let parsed = crate::ours::parse(programs);
    let mut outcomes = vec![Outcome::Nothing; programs.len()];
    let (mut from, mut together) = (0, true);
    while from < programs.len() {
        let alone = |index: usize| !together || !parsed[from + index];
        let output = run(command, &programs[from..], directory, alone);
        let reached = if output.contains("undefined variable 'p0'") {
            0
        } else {
            read(&output, &mut outcomes[from..])
        };
        if reached > 0 {
            from += reached;
        } else if together {
            // One that is no program for the other Nix takes the whole file with it.
            together = false;
        } else {
            panic!("no program was evaluated by '{command}':\n{output}");
        }
    }
    outcomes
}

/// Makes a file of all programs, those that are to be `alone` in files of their own, has it loaded
/// and asks for one after the other: short lines, as it echoes them character by character.
fn run(
    command: &str,
    programs: &[String],
    directory: &Path,
    alone: impl Fn(usize) -> bool,
) -> String {
    let work = directory.join(format!("batch-{:?}", std::thread::current().id()));
    let _ = std::fs::remove_dir_all(&work);
    std::fs::create_dir_all(&work).expect("a directory");
    let mut file = format!("let show_ = {};\nin {{\n", crate::SHOW);
    let mut input = format!(":l {}\n", work.join("all.nix").display());
    for (index, program) in programs.iter().enumerate() {
        if alone(index) {
            std::fs::write(work.join(format!("p{index}.nix")), program).expect("a file");
            file.push_str(&format!("p{index} = \"=>\" + show_ 0 (import ./p{index}.nix);\n"));
        } else {
            file.push_str(&format!("p{index} = \"=>\" + show_ 0 ({program});\n"));
        }
        input.push_str(&format!(":p p{index}\n"));
    }
    file.push('}');
    std::fs::write(work.join("all.nix"), file).expect("a file");
    let mut child = Command::new("sh")
        .args(["-c", &format!("{command} 2>&1")])
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the other Nix");
    let mut stdin = child.stdin.take().expect("a pipe");
    // It may end before it has read everything.
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let mut output = Vec::new();
    child.stdout.take().expect("a pipe").read_to_end(&mut output).expect("its output");
    let _ = child.wait();
    let _ = writer.join();
    let _ = std::fs::remove_dir_all(&work);
    String::from_utf8_lossy(&output).into_owned()
}

/// How many programs were reached.
fn read(output: &str, outcomes: &mut [Outcome]) -> usize {
    let mut reached = 0;
    for segment in output.split(PROMPT).skip(1) {
        let Some((number, rest)) = segment.split_once('\n') else { continue };
        let Ok(index) = number.parse::<usize>() else { continue };
        if index >= outcomes.len() {
            continue;
        }
        reached = reached.max(index + 1);
        outcomes[index] = outcome(&format!("\n{rest}"));
    }
    reached
}

fn outcome(text: &str) -> Outcome {
    // Traces and warnings may come first.
    let text = text.split("\nnix-repl> ").next().unwrap_or_default();
    if let Some(at) = text.find("\n=>") {
        return Outcome::Value(text[at + 3..].trim_end().to_owned());
    }
    let mut message = None;
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let found = line
            .strip_prefix("error: ")
            .or_else(|| line.strip_prefix("       error: "))
            .or_else(|| (*line == "       error:").then_some(""));
        if let Some(first) = found {
            let mut whole = first.to_owned();
            for more in &lines[index + 1..] {
                if more.trim().is_empty() {
                    continue;
                }
                let Some(more) = more.strip_prefix("       ") else { break };
                if more.starts_with("at «") || more.starts_with("at /") {
                    break;
                }
                whole.push('\n');
                whole.push_str(more);
            }
            message = Some(whole);
        }
    }
    match message {
        Some(message) => match classify(&message) {
            // `assert a == b` says how they differ.
            Outcome::Error("other", message)
                if text.contains("while evaluating the condition of the assertion") =>
            {
                Outcome::Error("assert", message)
            }
            outcome => outcome,
        },
        None => Outcome::Nothing,
    }
}
