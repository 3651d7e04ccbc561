//! `builder [builder] WHAT`: a builder by itself, as `hc builder WHAT` runs it, for the tests; with
//! the first word it takes hc's place in a derivation.

fn main() -> std::process::ExitCode {
    let mut words = std::env::args().skip(1).skip_while(|word| word == "builder");
    let what = words.next().unwrap_or_default();
    let env = std::env::vars().collect();
    match hc_image::builder::main(&what, &env) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}
