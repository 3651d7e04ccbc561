//! Commands that build, or are about builds.

use crate::commands::build::{Report, keep_link};
use crate::commands::log;
use crate::error::{Code, Coded, Failure};
use crate::evaluation::{failure, here};
use crate::output;
use hc_deploy::StoreIo;
use nix_compat::StoreDir;
use nix_lang::{Evaluator, Value};
use nix_store::{DrvOutput, StorePath};
use std::path::Path;

/// Builds all outputs of a derivation; with `link`, `repl-result-OUTPUT` leads to each.
pub fn build<'a>(
    nix: &Evaluator<'a>,
    io: &StoreIo,
    value: Value<'a>,
    link: bool,
) -> anyhow::Result<()> {
    let drv = derivation(nix, value)?;
    let store = io.store().code(Code::Host)?;
    if !store.is_valid(&drv).code(Code::Host)? {
        io.write_derivation(&store, &drv).code(Code::Build)?;
    }
    let derivation = store.derivation(&drv).code(Code::Build)?;
    let names = derivation.outputs().keys();
    let wanted: Vec<DrvOutput> = names.map(|name| DrvOutput::new(drv.clone(), name)).collect();
    let report = Report::new(false);
    let built = store.build(&wanted, &report);
    report.clear();
    let built = built.code(Code::Build)?;
    output::line("\nThis derivation produced the following outputs:")?;
    for (wanted, path) in built {
        let name = wanted.output_name();
        if link {
            let file = format!("repl-result-{name}");
            keep_link(&store, Path::new(&path.to_string()), &here().join(&file))?;
            output::line(format!("  ./{file} -> {path}"))?;
        } else {
            output::line(format!("  {name} -> {path}"))?;
        }
    }
    Ok(())
}

/// Shows what the last build of a derivation wrote.
pub fn log<'a>(nix: &Evaluator<'a>, io: &StoreIo, value: Value<'a>) -> anyhow::Result<()> {
    let drv = derivation(nix, value)?;
    let mut log = log::open(&io.store().code(Code::Host)?, &drv)?;
    std::io::copy(&mut log, &mut std::io::stdout().lock())?;
    Ok(())
}

/// The error for what C++ Nix has and hc leaves to it.
pub fn elsewhere(name: &str) -> anyhow::Error {
    let (what, instead) = match name {
        "i" => (
            "hc has no profiles to install into",
            "`:bl NIX` builds and keeps it; `nix-env -i` installs what it links to",
        ),
        _ => (
            "hc starts no shells for derivations",
            "`:b NIX` builds it; `nix-shell` starts a shell from the same store",
        ),
    };
    Failure::new(Code::Failed, format!("':{name}': {what}")).hint(instead).into()
}

fn derivation<'a>(nix: &Evaluator<'a>, value: Value<'a>) -> anyhow::Result<StorePath> {
    let package = nix.package(value).map_err(failure)?;
    let package = package.ok_or_else(|| anyhow::anyhow!("this is no derivation"))?;
    Ok(StoreDir::default().parse_path(package.drv_path.as_bytes())?)
}
