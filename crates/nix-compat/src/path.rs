//! Store paths: names, and how a path follows from what is stored.

use crate::hash::{CAHash, ContentAddressMethod, HashAlgorithm, NixHash};
use crate::{StoreDir, StorePath};
use std::collections::BTreeSet;

pub use nix_derivation::store_path::{
    DIGEST_LEN, Error as StorePathError, MAX_NAME_LEN, STORE_DIR, hash_placeholder,
    output_path_name,
};

/// The length of the hash at the start of a store path's name.
pub const HASH_PART_LEN: usize = 32;

/// The 32 characters that identify a store path: what a reference scan looks for.
#[must_use]
pub fn hash_part(path: &StorePath) -> String {
    nix_derivation::nixbase32::encode(path.digest())
}

/// The store path that `path` lies in or is, and what follows it (`""` or `"/sub/path"`).
///
/// # Errors
/// When `path` is not in the store, or its name breaks the rules.
pub fn split(path: &[u8]) -> Result<(StorePath, &[u8]), StorePathError> {
    let rest = path
        .strip_prefix(STORE_DIR.as_bytes())
        .and_then(|rest| rest.strip_prefix(b"/"))
        .ok_or(StorePathError::NotInStoreDir)?;
    let end = rest.iter().position(|b| *b == b'/').unwrap_or(rest.len());
    Ok((StorePath::from_basename(&rest[..end])?, &rest[end..]))
}

/// Where a text file (`builtins.toFile`, a `.drv`) is stored.
///
/// # Errors
/// When the name breaks the rules.
pub fn text(
    name: &str,
    contents: &[u8],
    references: &BTreeSet<StorePath>,
) -> Result<StorePath, StorePathError> {
    StoreDir::default().build_text_path(name, contents, references)
}

/// Where a tree with this NAR hash is stored (`builtins.path`, a copied source).
///
/// # Errors
/// When the name breaks the rules.
pub fn source(
    name: &str,
    nar_sha256: [u8; 32],
    references: &BTreeSet<StorePath>,
) -> Result<StorePath, StorePathError> {
    content_addressed(name, &CAHash::Nar(NixHash::Sha256(nar_sha256)), references)
}

/// Where something with this content address is stored.
///
/// # Errors
/// When the name breaks the rules, or the method cannot have references.
pub fn content_addressed(
    name: &str,
    ca: &CAHash,
    references: &BTreeSet<StorePath>,
) -> Result<StorePath, StorePathError> {
    StoreDir::default().build_ca_path(name, ca, references, false)
}

/// Where the output of a fixed-output derivation is stored.
///
/// # Errors
/// When the name breaks the rules, or the algorithm does not go with the method.
pub fn fixed_output(
    name: &str,
    method: ContentAddressMethod,
    hash: &NixHash,
) -> Result<StorePath, Box<dyn std::error::Error + Send + Sync>> {
    let ca = CAHash::from_parts(method, hash.algorithm(), hash.digest_as_bytes())?;
    Ok(content_addressed(name, &ca, &BTreeSet::new())?)
}

/// Compresses a digest to the 20 bytes of a store path by folding it with exclusive or.
#[must_use]
pub fn compress(digest: &[u8]) -> [u8; DIGEST_LEN] {
    let mut out = [0; DIGEST_LEN];
    for (i, byte) in digest.iter().enumerate() {
        out[i % DIGEST_LEN] ^= byte;
    }
    out
}

/// What stands for an output whose path is not known before something is built: the first of
/// `outputs` is one of the derivation, each further one belongs to the derivation that the one
/// before it is. Unlike `nix-derivation`'s it takes every name, as C++ Nix does.
#[must_use]
pub fn downstream_placeholder<S: AsRef<str>>(drv: &StorePath, outputs: &[S]) -> String {
    let sha256 = |text: String| crate::hash_bytes(HashAlgorithm::Sha256, text.as_bytes());
    let encode = nix_derivation::nixbase32::encode;
    let mut outputs = outputs.iter().map(AsRef::as_ref);
    let first = outputs.next().unwrap_or("out");
    let name = drv.name().strip_suffix(".drv").unwrap_or(drv.name());
    let name = if first == "out" { name.to_owned() } else { format!("{name}-{first}") };
    let mut hash = sha256(format!("nix-upstream-output:{}:{name}", hash_part(drv)));
    for output in outputs {
        let before = encode(&compress(hash.digest_as_bytes()));
        hash = sha256(format!("nix-computed-output:{before}:{output}"));
    }
    format!("/{}", encode(hash.digest_as_bytes()))
}

/// Nix's name for an indirect root: the nix32 SHA-1 of the link's path.
#[must_use]
pub fn indirect_root_name(link: &[u8]) -> String {
    let hash = crate::hash_bytes(HashAlgorithm::Sha1, link);
    nix_derivation::nixbase32::encode(hash.digest_as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Known answer from `nix-store --add` of a file "a" with the contents "hi\n".
    #[test]
    fn a_source_path_is_where_nix_puts_it() {
        let node = crate::nar::Node::Regular { executable: false, contents: b"hi\n" };
        let nar = crate::nar::hash_tree(&node).unwrap();
        let path = source("a", nar.sha256, &BTreeSet::new()).unwrap();
        assert_eq!(path.to_string(), "/nix/store/miacmq2d49l5qm1xgkpr982m3rd9ax08-a");
        assert_eq!(nar.size, 120);
    }

    #[test]
    fn a_path_is_split_into_store_path_and_rest() {
        let text = b"/nix/store/miacmq2d49l5qm1xgkpr982m3rd9ax08-a/bin/x";
        let (path, rest) = split(text).unwrap();
        assert_eq!((path.name(), rest), ("a", &b"/bin/x"[..]));
        assert!(split(b"/nix/store").is_err());
        assert!(split(b"/nix/storefoo/miacmq2d49l5qm1xgkpr982m3rd9ax08-a").is_err());
        assert!(split(b"/nix/store/.links").is_err());
    }

    #[test]
    fn placeholders_are_those_of_nix_derivation() {
        use nix_derivation::store_path::downstream_placeholder as other;
        let drv = "/nix/store/miacmq2d49l5qm1xgkpr982m3rd9ax08-a.drv";
        let drv = StorePath::from_absolute_path(drv.as_bytes()).unwrap();
        for outputs in [&["out"][..], &["dev"], &["out", "out"], &["x", "out", "lib"]] {
            let expected = other(&drv, outputs).unwrap();
            assert_eq!(downstream_placeholder(&drv, outputs), expected);
        }
    }

    proptest! {
        #[test]
        fn names_follow_the_rules(name in "[a-zA-Z0-9+._?=-]{1,60}", digest: [u8; 20]) {
            let made = StorePath::from_parts(digest, &name);
            if let Ok(path) = made {
                let again = StorePath::from_absolute_path(path.to_string().as_bytes()).unwrap();
                prop_assert_eq!(hash_part(&again).len(), HASH_PART_LEN);
                prop_assert_eq!(again, path);
            } else {
                prop_assert!(name.starts_with('.'));
            }
        }

        #[test]
        fn splitting_never_panics(bytes: Vec<u8>) {
            let _ = split(&bytes);
        }
    }
}
