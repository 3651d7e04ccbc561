//! `builder WHAT`: a builder by itself, as `hc builder WHAT` runs it, for the tests.

fn main() -> std::process::ExitCode {
    let what = std::env::args().nth(1).unwrap_or_default();
    let env = std::env::vars().collect();
    match hc_image::builder::main(&what, &env) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}
