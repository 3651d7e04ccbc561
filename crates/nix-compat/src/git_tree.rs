//! Hashes of trees as git has them: `outputHashMode = "git"`.

use crate::hash::{Error, HashAlgorithm, NixHash};
use nix_archive::git;
use std::path::Path;

/// The hash of the file (a blob) or directory (a tree) at `path`, by SHA-1 or SHA-256.
///
/// # Errors
/// When it cannot be read, holds something that is no file, directory or symlink, or git has no
/// such hash.
pub fn hash_path(
    algorithm: HashAlgorithm,
    path: &Path,
) -> Result<NixHash, Box<dyn std::error::Error + Send + Sync>> {
    let digest = match algorithm {
        HashAlgorithm::Sha1 => git::hash_path::<sha1::Sha1>(path)?.hash.to_vec(),
        HashAlgorithm::Sha256 => git::hash_path::<sha2::Sha256>(path)?.hash.to_vec(),
        other => return Err(Error::Unparseable(format!("git trees have no {other} hash")).into()),
    };
    Ok(NixHash::from_algorithm_and_digest(algorithm, &digest)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;

    /// Known answers from `git hash-object` and `git write-tree`.
    #[test]
    fn files_and_directories_are_blobs_and_trees() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        std::fs::write(&file, "hello\n").unwrap();
        let blob = hash_path(HashAlgorithm::Sha1, &file).unwrap();
        assert_eq!(blob.to_nix_base16_string(), "sha1:ce013625030ba8dba906f756967f9e9ca394464a");
        let tree = hash_path(HashAlgorithm::Sha1, dir.path()).unwrap();
        assert_eq!(tree.to_nix_base16_string(), "sha1:0976950c1fdbcb52435a433913017bf044b3a58f");
        assert!(hash_path(HashAlgorithm::Md5, &file).is_err());
    }
}
