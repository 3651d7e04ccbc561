//! How builds run, as arguments.

use crate::context::Globals;
use crate::error::{Code, Failure};
use nix_store::HostStore;
use nix_store::remote::RemoteOptions;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

/// Arguments for how builds run.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Building")]
pub struct BuildOptions {
    /// How many derivations are built at once
    #[arg(short = 'j', long, aliases = ["jobs", "build-max-jobs"], value_name = "N")]
    max_jobs: Option<usize>,
    /// What builders are told in NIX_BUILD_CORES
    #[arg(long, alias = "build-cores", value_name = "N")]
    cores: Option<usize>,
    /// Build what does not depend on a failed build before giving up
    #[arg(short, long)]
    keep_going: bool,
    /// Keep the build directories of failed builds, and what --rebuild found to differ
    #[arg(short = 'K', long)]
    keep_failed: bool,
    /// How long a build may take
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<f64>,
    /// How long a build may write nothing to its log
    #[arg(long, value_name = "SECONDS")]
    max_silent_time: Option<f64>,
    /// How much a build may write to its log
    #[arg(long, value_name = "BYTES")]
    max_log_size: Option<u64>,
    /// Print what builders write
    #[arg(short = 'L', long)]
    pub print_build_logs: bool,
    /// Show a path of this host to every build, such as /bin/sh=/bin/busybox
    #[arg(long, alias = "extra-sandbox-paths", value_name = "TARGET[=SOURCE]")]
    sandbox_path: Vec<String>,
    /// Binary caches to ask before building, in place of those of nix.conf
    #[arg(long, value_name = "URLS", conflicts_with = "no_substitutes")]
    substituters: Option<String>,
    /// Build everything: ask no binary cache
    #[arg(long, alias = "no-substitute")]
    no_substitutes: bool,
}

/// The store of this host, with these options for its builds.
pub fn store(globals: &Globals, options: &BuildOptions) -> anyhow::Result<HostStore> {
    let mut host = super::host_config(globals)?;
    let config = &mut host.store;
    if let Some(jobs) = options.max_jobs {
        if jobs == 0 {
            let message = "--max-jobs 0 would build nothing: there are no other builders";
            return Err(Failure::new(Code::Failed, message).into());
        }
        config.jobs = jobs;
    }
    config.cores = options.cores.unwrap_or(config.cores);
    config.keep_going |= options.keep_going;
    config.keep_failed |= options.keep_failed;
    if options.timeout.is_some() {
        config.build_timeout = seconds("--timeout", options.timeout)?;
    }
    if options.max_silent_time.is_some() {
        config.max_silent_time = seconds("--max-silent-time", options.max_silent_time)?;
    }
    if options.max_log_size.is_some() {
        config.max_log_size = options.max_log_size.filter(|limit| *limit != 0);
    }
    for pair in &options.sandbox_path {
        let (target, source) = pair.split_once('=').unwrap_or((pair, pair));
        config.sandbox_paths.push((PathBuf::from(target), PathBuf::from(source)));
    }
    if let Some(urls) = &options.substituters {
        config.substituters = urls.split_ascii_whitespace().map(str::to_owned).collect();
    }
    if options.no_substitutes {
        config.substituters.clear();
    }
    config.environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_vec())))
        .collect();
    host.remote = RemoteOptions {
        jobs: config.jobs,
        check_signatures: true,
        substitute: host.remote.substitute && !options.no_substitutes,
        settings: settings(options),
        ..remote(options)
    };
    super::cloud::open(host)
}

/// What a daemon is told of these options, by the names of nix.conf.
fn settings(options: &BuildOptions) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    let mut put = |name: &str, value: Option<String>| {
        settings.extend(value.map(|value| (name.to_owned(), value)));
    };
    // In whole seconds there.
    let seconds = |value: Option<f64>| value.map(|value| format!("{:.0}", value.ceil()));
    put("timeout", seconds(options.timeout));
    put("max-silent-time", seconds(options.max_silent_time));
    put("max-build-log-size", options.max_log_size.map(|size| size.to_string()));
    put("substituters", options.substituters.clone());
    if !options.sandbox_path.is_empty() {
        put("extra-sandbox-paths", Some(options.sandbox_path.join(" ")));
    }
    settings
}

/// How somebody else builds, with these options.
pub fn remote(options: &BuildOptions) -> RemoteOptions {
    let usual = crate::remote::options();
    RemoteOptions {
        jobs: options.max_jobs.unwrap_or(usual.jobs),
        cores: options.cores.unwrap_or(usual.cores),
        keep_going: options.keep_going,
        keep_failed: options.keep_failed,
        substitute: !options.no_substitutes,
        check_signatures: false,
        ..usual
    }
}

/// As Nix has it: zero is for ever.
fn seconds(name: &str, value: Option<f64>) -> anyhow::Result<Option<Duration>> {
    match value {
        None => Ok(None),
        Some(0.0) => Ok(None),
        Some(value) => Duration::try_from_secs_f64(value).map(Some).map_err(|_| {
            Failure::new(Code::Failed, format!("{name} wants a number of seconds")).into()
        }),
    }
}
