//! Derivations that are not in the store: a client has sent one, whose inputs are there.

use super::call::Call;
use super::realise::Realiser;
use super::realised::Realised;
use super::{BuildEvent, BuildMode, BuildObserver};
use crate::error::Result;
use crate::store::Store;
use nix_compat::{Derivation, StorePath};
use std::collections::BTreeMap;

impl Store {
    /// Builds a derivation without input derivations, which is called `path` and whose output paths
    /// are believed; gives them. Only somebody who may write the store may say what they are.
    pub(crate) fn build_sent(
        &self,
        path: &StorePath,
        derivation: &Derivation,
        mode: BuildMode,
        observer: &dyn BuildObserver,
    ) -> Result<BTreeMap<String, StorePath>> {
        let call = Call::new(self, observer);
        let realised = Realised::default();
        let cancelled = || observer.cancelled();
        let realiser = Realiser { call: &call, cancelled: &cancelled, mode, realised: &realised };
        let done = realiser.run(path, derivation, true);
        observer.event(match done {
            Ok(_) => BuildEvent::Finished { drv: path },
            Err(_) => BuildEvent::Failed { drv: path },
        });
        done
    }
}
