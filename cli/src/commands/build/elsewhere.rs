//! Building at a daemon or on another host.

use nix_store::copy::{Trust, copy_closure};
use nix_store::remote::Remote;
use nix_store::{BuildMode, BuildObserver, DrvOutput, Error, HostStore, Result, StorePath};
use std::collections::{BTreeMap, BTreeSet};

/// Who builds for us is trusted, and asks us for signatures itself.
const ANYBODY: Trust = Trust { keys: Vec::new(), required: false };

/// Sends the derivations, has them built, and takes what came of it.
pub fn build(
    store: &HostStore,
    remote: &Remote,
    outputs: &[DrvOutput],
    observer: &dyn BuildObserver,
) -> Result<BTreeMap<DrvOutput, StorePath>> {
    let drvs: BTreeSet<StorePath> = outputs.iter().map(|o| o.drv_path().clone()).collect();
    copy_closure(store.source(), remote.sink(), &drvs, &ANYBODY, &())?;
    let built = match remote {
        Remote::Daemon(daemon) => daemon.build(outputs, BuildMode::Normal, observer)?,
        Remote::Serve(client) => {
            let targets: Vec<String> = outputs
                .iter()
                .map(|output| format!("{}!{}", output.drv_path(), output.output_name()))
                .collect();
            let known = known(store, outputs)?;
            client.build(&targets, nix_compat::serve::BuildOptions::default())?;
            known
        }
    };
    let paths: BTreeSet<StorePath> = built.values().cloned().collect();
    copy_closure(remote.source(), store.sink(), &paths, &ANYBODY, &())?;
    Ok(built)
}

/// The paths of outputs that are known before they are built.
fn known(store: &HostStore, outputs: &[DrvOutput]) -> Result<BTreeMap<DrvOutput, StorePath>> {
    let path = |output: &DrvOutput| {
        let all = store.outputs(output.drv_path())?;
        match all.get(output.output_name()) {
            Some(Some(path)) => Ok((output.clone(), path.clone())),
            Some(None) => Err(Error::Unsupported {
                drv: output.drv_path().clone(),
                what: "ssh:// does not tell what its outputs came to; ssh-ng:// does".into(),
            }),
            None => Err(Error::NoSuchOutput { output: output.clone() }),
        }
    };
    outputs.iter().map(path).collect()
}
