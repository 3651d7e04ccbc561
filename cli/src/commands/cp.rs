//! `hc cp`: files into a machine, out of it, and from one to another.

use crate::context::Globals;
use crate::error::{Code, Failure};
use hc_runtime::RunError;
use hc_runtime::copy::{self, Files, Host, Owners, Sink, Source, Standard, pour};
use std::path::PathBuf;

/// Copy files and directories to, from and between running machines
///
/// Either side may be NAME:PATH, a path in a machine; without a leading `/` it begins at the
/// machine's root. A side that is `-` is a tar stream on standard input or output. As with cp, what
/// is copied goes into DST when that is a directory, and becomes DST otherwise; `DIR/.` stands for
/// what is in DIR. Symlinks in a tree are copied and
/// not followed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Keep the numbers of owners and set-id bits between host and machine; without, files belong to root in a
    /// machine and to you on the host
    #[arg(short, long)]
    archive: bool,
    /// What to copy: PATH, NAME:PATH or -
    #[arg(value_name = "SRC")]
    from: Side,
    /// Where to: PATH, NAME:PATH or -
    #[arg(value_name = "DST")]
    to: Side,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Side {
    Standard,
    Host(PathBuf),
    Machine(String, PathBuf),
}

impl std::str::FromStr for Side {
    type Err = String;

    /// A path with a colon in it is one of the host when it has a `/` before the colon.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            _ if text == "-" => Ok(Self::Standard),
            _ if text.is_empty() => Err("is empty".into()),
            Some((name, path)) if !name.contains('/') => {
                hc_spec::Name::new(name)
                    .map_err(|error| format!("{error}; a file with ':' in it is ./{text}"))?;
                let path = if path.is_empty() { "/" } else { path };
                Ok(Self::Machine(name.into(), path.into()))
            }
            _ => Ok(Self::Host(text.into())),
        }
    }
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    Globals::need_root("cp")?;
    if !matches!((&args.from, &args.to), (Side::Machine(..), _) | (_, Side::Machine(..))) {
        return Err(Failure::new(Code::Failed, "neither side is in a machine")
            .hint("write NAME:PATH for a path in machine NAME")
            .into());
    }
    let host = Host { owners: if args.archive { Owners::Kept } else { Owners::Own } };
    let machine = |name: &str| copy::machine(&globals.run_dir, name, globals.store.as_deref());
    let source = || -> Result<Box<dyn Source>, RunError> {
        match &args.from {
            Side::Standard => Ok(Box::new(Standard)),
            Side::Host(path) => host.pack(path),
            Side::Machine(name, path) => machine(name)?.pack(path),
        }
    };
    let sink = || -> Result<Box<dyn Sink>, RunError> {
        match &args.to {
            Side::Standard => Ok(Box::new(Standard)),
            Side::Host(path) => host.unpack(path),
            Side::Machine(name, path) => machine(name)?.unpack(path),
        }
    };
    let copied = source().and_then(|source| pour(source, sink()?));
    let left_out = copied.map_err(|error| {
        let hint = matches!(error, RunError::NotRunning { .. });
        let failure = Failure::new(Code::Failed, error.to_string());
        if hint { failure.hint("`hc ps` lists what runs") } else { failure }
    })?;
    for line in left_out {
        eprintln!("warning: {line}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_told_apart() {
        let side = |text: &str| text.parse::<Side>();
        let machine = |name: &str, path: &str| Ok(Side::Machine(name.into(), path.into()));
        assert_eq!(side("-"), Ok(Side::Standard));
        assert_eq!(side("web:/etc/x"), machine("web", "/etc/x"));
        assert_eq!(side("web:"), machine("web", "/"));
        assert_eq!(side("web:a:b"), machine("web", "a:b"));
        assert_eq!(side("./a:b"), Ok(Side::Host("./a:b".into())));
        assert_eq!(side("/srv/a:b"), Ok(Side::Host("/srv/a:b".into())));
        assert!(side("A B:x").unwrap_err().contains("is ./A B:x"));
    }
}
