//! Building what a context names, also outputs of derivations that only a build makes.

use crate::Result;
use nix_compat::{DrvOutput, StorePath};
use nix_lang::ContextElem;
use nix_store::{BuildObserver, HostStore};

/// The derivation and the outputs that lead to an output: one, or of a derivation that is an output
/// itself, more than one.
fn chain(element: &ContextElem) -> Option<(&StorePath, &[String])> {
    match element {
        ContextElem::Built { drv, output } => Some((drv, std::slice::from_ref(output))),
        ContextElem::Dynamic { drv, outputs } => Some((drv, outputs)),
        ContextElem::Opaque(_) | ContextElem::DrvDeep(_) => None,
    }
}

/// Builds outputs whose derivations are in the store, as many at once as can be; where they are.
/// What is no output is left out.
///
/// # Errors
/// When a build fails, or makes a file that is no derivation and is to be built.
pub(crate) fn build<'e>(
    store: &HostStore,
    elements: impl IntoIterator<Item = &'e ContextElem>,
    observer: &dyn BuildObserver,
) -> Result<Vec<(&'e ContextElem, StorePath)>> {
    let mut found = Vec::new();
    let mut open: Vec<_> = elements
        .into_iter()
        .filter_map(|element| chain(element).map(|(drv, names)| (element, drv.clone(), names)))
        .collect();
    while !open.is_empty() {
        let wanted: Vec<DrvOutput> = open
            .iter()
            .filter_map(|(_, drv, names)| Some(DrvOutput::new(drv.clone(), names.first()?)))
            .collect();
        let built = store.build(&wanted, observer)?;
        for (element, drv, names) in std::mem::take(&mut open) {
            let Some((name, further)) = names.split_first() else { continue };
            let Some(path) = built.get(&DrvOutput::new(drv, name)) else { continue };
            if further.is_empty() {
                found.push((element, path.clone()));
            } else {
                open.push((element, path.clone(), further));
            }
        }
    }
    Ok(found)
}
