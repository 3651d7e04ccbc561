//! Files of images, by their names in the store.

use std::path::{Path, PathBuf};

/// One file of an image, such as `/nix/store/HASH-debian/disk.raw`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFile {
    /// Its name in the store: what machines and links say.
    pub logical: PathBuf,
    /// Where it lies on this host.
    pub physical: PathBuf,
    /// `HASH-debian`: what bases are named after.
    pub image: String,
}

/// The path names no file of an image in the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is no file of an image: it has to be /nix/store/NAME/FILE", .0.display())]
pub struct NotAnImage(pub PathBuf);

impl ImageFile {
    /// Takes `/nix/store/NAME/FILE` apart; `store_root` is the physical root in front of it, when
    /// the store is relocated.
    ///
    /// # Errors
    /// When the path is not of that form.
    pub fn new(logical: &Path, store_root: Option<&Path>) -> Result<Self, NotAnImage> {
        let refuse = || NotAnImage(logical.into());
        let below = logical.strip_prefix("/nix/store").map_err(|_| refuse())?;
        let parts: Option<Vec<&str>> = below
            .components()
            .map(|part| match part {
                std::path::Component::Normal(name) => name.to_str(),
                _ => None,
            })
            .collect();
        let Some([image, _, ..]) = parts.as_deref() else { return Err(refuse()) };
        if image.starts_with('.') {
            return Err(refuse());
        }
        let physical = match (store_root, logical.strip_prefix("/")) {
            (Some(root), Ok(below)) => root.join(below),
            _ => logical.to_path_buf(),
        };
        Ok(Self { logical: logical.into(), physical, image: (*image).to_owned() })
    }

    /// The store path it is in.
    #[must_use]
    pub fn store_path(&self) -> PathBuf {
        Path::new("/nix/store").join(&self.image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_inside_store_paths_are_taken() {
        let file = ImageFile::new(Path::new("/nix/store/h-a/disk.raw"), Some(Path::new("/r")));
        let file = file.unwrap();
        assert_eq!(file.physical, Path::new("/r/nix/store/h-a/disk.raw"));
        assert_eq!(
            (file.image.as_str(), file.store_path().as_path()),
            ("h-a", Path::new("/nix/store/h-a"))
        );
        for bad in [
            "/nix/store/h-a",
            "/nix/store/../../etc/passwd",
            "/nix/store/h-a/../../x/y",
            "/nix/store/.links/x",
            "/etc/passwd",
            "nix/store/h-a/disk.raw",
        ] {
            assert!(ImageFile::new(Path::new(bad), None).is_err(), "{bad}");
        }
    }
}
