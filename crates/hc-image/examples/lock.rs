//! `lock SUITE ARCH PACKAGE…`: the lock file of an image on standard output, fetched with curl.

use hc_image::debian::{LockRequest, Signature, Source, lock};

fn main() -> std::process::ExitCode {
    let mut words = std::env::args().skip(1);
    let (Some(suite), Some(arch)) = (words.next(), words.next()) else {
        eprintln!("usage: lock SUITE ARCH PACKAGE…");
        return std::process::ExitCode::FAILURE;
    };
    let request = LockRequest {
        sources: vec![Source::debian(&suite)],
        arch,
        packages: words.collect(),
        required: false,
        signature: Signature::debian(),
    };
    match lock(&request, &fetch) {
        Ok(lock) => {
            print!("{}", lock.to_json());
            std::process::ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn fetch(url: &str) -> std::io::Result<Vec<u8>> {
    let done = std::process::Command::new("curl").args(["-fsSL", url]).output()?;
    if done.status.success() {
        Ok(done.stdout)
    } else {
        Err(std::io::Error::other(String::from_utf8_lossy(&done.stderr).trim().to_owned()))
    }
}
