//! Evaluate an expression or a file, for trying things and for measuring:
//! `eval [--json] [--raw] [-I x=y]… (-E TEXT | FILE)`.

use nix_lang::{Arena, ComputeIo, Evaluator, Settings, on_big_stack};

fn main() {
    let mut args = std::env::args().skip(1);
    let (mut json, mut text, mut file) = (false, None, None);
    let mut settings = Settings::default();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--json" => json = true,
            "--pure" => settings.pure = true,
            "-E" => text = args.next(),
            "-I" => settings.search_path.extend(args.next()),
            _ => file = Some(arg),
        }
    }
    let failed = on_big_stack(move || {
        let arena = Arena::new();
        let io = ComputeIo::new().with_environment().with_messages(|line| eprintln!("{line}"));
        let nix = Evaluator::new(&arena, io, settings);
        let base = std::env::current_dir().unwrap_or_default();
        let value = match (&text, &file) {
            (Some(text), _) => nix.eval_str(text, &base),
            (None, Some(file)) => nix.eval_file(base.join(file)),
            (None, None) => return true,
        };
        let shown =
            value.and_then(|value| if json { nix.to_json_text(value) } else { nix.print(value) });
        match shown {
            Ok(text) => println!("{text}"),
            Err(error) => {
                eprintln!("{}", error.report());
                return true;
            }
        }
        if std::env::var_os("EVAL_STATS").is_some() {
            eprintln!("{} KiB", nix.memory() / 1024);
        }
        // The process ends here: there is nothing to gain from freeing values one by one.
        false
    });
    std::process::exit(i32::from(failed.unwrap_or(true)));
}
