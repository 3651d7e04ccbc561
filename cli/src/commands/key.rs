//! `hc key`: what binary caches are signed with.

use crate::error::{Code, Failure};
use crate::output;
use clap::Subcommand;
use nix_compat::narinfo::SecretKey;
use std::io::Read;

/// Make the keys that binary caches are signed with
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print a new secret key, as `nix key generate-secret` does
    Generate {
        /// Its name, such as cache.example.org-1
        name: String,
    },
    /// Print the public half of the secret key on standard input, for `trusted-public-keys`
    Public,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let wrong =
        |error: nix_compat::narinfo::SecretKeyError| Failure::new(Code::Failed, error.to_string());
    match &args.what {
        What::Generate { name } => {
            let mut seed = [0; 32];
            rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())?;
            output::line(SecretKey::from_seed(name, &seed).map_err(wrong)?.to_nix_string())
        }
        What::Public => {
            let mut text = String::new();
            std::io::stdin().take(64 << 10).read_to_string(&mut text)?;
            output::line(SecretKey::parse(&text).map_err(wrong)?.public())
        }
    }
}
