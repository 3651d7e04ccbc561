//! Copying closures out of binary caches for evaluation.

use crate::io_impl::words;
use crate::store_io::StoreIo;
use nix_compat::StorePath;
use nix_lang::{ClosureForm, ClosureRequest, IoError};
use nix_store::HostStore;
use nix_store::cache::BinaryCache;
use nix_store::copy::{Trust, copy_closure};
use std::collections::BTreeSet;

impl StoreIo {
    pub(crate) fn copy_closure(&self, request: &ClosureRequest) -> Result<StorePath, IoError> {
        let store = self.store().map_err(words)?;
        let from = || BinaryCache::open(&request.store, store.config()).map_err(words);
        let path = &request.path;
        match &request.form {
            ClosureForm::Rewritten(Some(to)) if store.is_valid(to).map_err(words)? => {
                Ok(to.clone())
            }
            ClosureForm::Rewritten(to) => {
                let made = store.copy_readdressed(&from()?, path).map_err(words)?;
                rewritten(path, &made, to.as_ref())?;
                Ok(made)
            }
            form => {
                let input_addressed = *form == ClosureForm::InputAddressed;
                if !store.is_valid(path).map_err(words)? {
                    let config = store.config();
                    let (keys, required) = (config.trusted_keys.clone(), config.require_signatures);
                    let (trust, wanted) =
                        (Trust { keys, required }, BTreeSet::from([path.clone()]));
                    copy_closure(&from()?, store.sink(), &wanted, &trust, &()).map_err(words)?;
                }
                check(&store, path, input_addressed)?;
                Ok(path.clone())
            }
        }
    }
}

/// The path that somebody wrote down has to be the one it came to; without one, it is told.
fn rewritten(from: &StorePath, made: &StorePath, to: Option<&StorePath>) -> Result<(), IoError> {
    let what = format!("rewriting '{from}' to content-addressed form yielded '{made}'");
    match to {
        Some(to) if to == made => Ok(()),
        Some(to) => Err(words(format!("{what}, while '{to}' was expected"))),
        None => Err(words(format!(
            "{what}; use this value for the 'toPath' attribute passed to 'fetchClosure'"
        ))),
    }
}

/// Whether the path is of the kind that was asked for.
fn check(store: &HostStore, path: &StorePath, input_addressed: bool) -> Result<(), IoError> {
    let follows = store.info(path).map_err(words)?.ca.is_some();
    match (follows, input_addressed) {
        (true, true) => Err(words(format!(
            "the 'fromPath' value '{path}' is content-addressed, but 'inputAddressed' is set to \
             'true'; remove that attribute"
        ))),
        (false, false) => Err(words(format!(
            "the 'fromPath' value '{path}' is input-addressed, but 'inputAddressed' is not set to \
             'true'; with it the path must be signed by a key of trusted-public-keys, and with \
             'toPath' it is rewritten to a content-addressed path"
        ))),
        _ => Ok(()),
    }
}
