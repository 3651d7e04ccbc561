//! Evaluates a file to JSON, and again for each path that comes in on standard input: how long it
//! took, what ran, and whether cold evaluation says the same. `warm FILE [--check]`

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix_lang::{Arena, ComputeIo, Evaluator, Settings, on_big_stack};

fn text(nix: &Evaluator<'_>, file: &Path) -> String {
    match nix.eval_file(file).and_then(|value| nix.to_json_text(value)) {
        Ok(text) => text,
        Err(error) => error.report().to_owned(),
    }
}

fn io() -> ComputeIo {
    ComputeIo::new().with_environment()
}

fn main() {
    let mut args = std::env::args().skip(1);
    let file = PathBuf::from(args.next().expect("a file"));
    let check = args.next().is_some();
    let search_path: Vec<String> = std::env::var("NIX_PATH")
        .map(|paths| paths.split(':').map(str::to_owned).collect())
        .unwrap_or_default();
    let settings = Settings { search_path, ..Settings::default() };
    on_big_stack(|| {
        let started = Instant::now();
        let arena = Arena::new();
        let nix = Evaluator::new(&arena, io(), settings.clone());
        let cold = text(&nix, &file);
        let millis = |started: Instant| started.elapsed().as_secs_f64() * 1e3;
        println!("cold {:.3} ms {} MiB {} bytes", millis(started), arena.size() >> 20, cold.len());
        let arena = Arena::new();
        let nix = Evaluator::warm(&arena, io(), settings.clone());
        let mut changed: Option<Vec<PathBuf>> = None;
        let mut lines = std::io::stdin().lock().lines();
        loop {
            let started = Instant::now();
            let warm = nix.again(changed.as_deref(), |nix| text(nix, &file));
            println!(
                "warm {:.3} ms {} MiB {:?}{}",
                millis(started),
                arena.size() >> 20,
                nix.warm_stats(),
                if nix.is_spoiled() { " SPOILED" } else { "" },
            );
            if check {
                let arena = Arena::new();
                let nix = Evaluator::new(&arena, io(), settings.clone());
                let cold = text(&nix, &file);
                println!("{}", if warm == cold { "same" } else { "DIFFERENT" });
                if warm != cold {
                    let head = |text: &str| text.chars().take(2000).collect::<String>();
                    println!("warm: {}\ncold: {}", head(&warm), head(&cold));
                }
            }
            let Some(Ok(line)) = lines.next() else { break };
            changed = Some(vec![PathBuf::from(line)]);
        }
    })
    .expect("a thread");
}
