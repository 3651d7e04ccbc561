//! The files that a builder finds structured attributes in.

use super::write::with_numbers_of;
use crate::{
    ContentAddressMethod, Derivation, DerivationError, HashAlgorithm, Output, StorePath,
    StructuredAttrs, StructuredAttrsFiles,
};
use std::collections::BTreeMap;

/// `.attrs.json` and `.attrs.sh`, with the paths of the outputs in the place of what stands for them.
///
/// # Errors
/// When there is no output, or `exportReferencesGraph` is among the attributes, which takes a store.
pub fn files(
    attrs: &StructuredAttrs,
    outputs: &BTreeMap<String, StorePath>,
) -> Result<StructuredAttrsFiles, DerivationError> {
    // `nix-derivation` writes them for derivations, of which it needs no more than this.
    let mut bare = Derivation::new("bare", "none", "none").with_structured_attrs(attrs.clone());
    for name in outputs.keys() {
        let (method, hash_algorithm) = (ContentAddressMethod::Nar, HashAlgorithm::Sha256);
        bare = bare.output(name, Output::Floating { method, hash_algorithm });
    }
    let bare = nix_derivation::Derivation::from_aterm_bytes(&bare.to_aterm_bytes(), bare.name())?;
    let made = bare.structured_attrs_files_with_output_paths(outputs)?;
    let none = || DerivationError::StructuredAttrs("there are none".into());
    let StructuredAttrsFiles { json, shell } = made.ok_or_else(none)?;
    Ok(StructuredAttrsFiles { json: with_numbers_of(attrs, json), shell })
}
