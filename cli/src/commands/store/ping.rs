//! `hc store ping`: whether a store answers.

use crate::commands::copy::End;
use crate::context::Globals;
use crate::error::{Code, Coded};
use crate::output;
use nix_store::HostStore;
use nix_store::cache::BinaryCache;
use nix_store::remote::{Daemon, Remote};
use serde_json::json;

/// See whether a store answers, who it is and whether it trusts us
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its address, as of `hc copy`; the store of this host if it is not said
    url: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let end = End::open(globals, args.url.as_deref())?;
    let name = end.source().name();
    let (version, protocol, trusted) = match &end {
        End::Store(HostStore::Local(_)) => (None, None, Some(true)),
        End::Store(HostStore::Daemon(store)) => daemon(store.daemon())?,
        End::Cache(cache) => return say_cache(cache, &name, args.json),
        End::Remote(remote) => match remote.as_ref() {
            Remote::Serve(client) => {
                client.ping().code(Code::Failed)?;
                (None, Some("2.7".to_owned()), None)
            }
            Remote::Daemon(asked) => daemon(asked)?,
        },
    };
    if args.json {
        return output::json(&json!({
            "store": name, "version": version, "protocol": protocol, "trusted": trusted,
        }));
    }
    let mut text = format!("{name} answers");
    if let Some(version) = version {
        text.push_str(&format!("; version {version}"));
    }
    if let Some(protocol) = protocol {
        text.push_str(&format!("; protocol {protocol}"));
    }
    if let Some(trusted) = trusted {
        text.push_str(if trusted { "; it trusts us" } else { "; it does not trust us" });
    }
    output::line(text)
}

/// Version, protocol, and whether it trusts us.
type Told = (Option<String>, Option<String>, Option<bool>);

fn daemon(daemon: &Daemon) -> anyhow::Result<Told> {
    let told = daemon.ping().code(Code::Failed)?;
    Ok((Some(told.release), Some(format!("1.{}", told.minor)), told.trusts_us))
}

/// What a binary cache says of itself: it is files, and nobody who answers.
fn say_cache(cache: &BinaryCache, name: &str, json: bool) -> anyhow::Result<()> {
    let told = cache.ask().code(Code::Failed)?;
    if json {
        return output::json(&json!({
            "store": name,
            "storeDir": told.store_dir,
            "priority": told.priority,
            "wantMassQuery": told.mass_query,
        }));
    }
    output::line(format_args!(
        "{name} answers; a binary cache for {}; priority {}; {}",
        told.store_dir,
        told.priority,
        if told.mass_query { "may be asked for much" } else { "to be asked for what is needed" }
    ))
}
