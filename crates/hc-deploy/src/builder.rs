//! The executable that image derivations name as their builder.
//!
//! It is hc itself, added to the store once per [`hc_image::SOURCE_ID`]: an hc that makes images the
//! same way goes on using the one registered first, so that upgrading hc rebuilds no image and
//! restarts no machine. The pin is a symlink beside the store's database, and a GC root.

use crate::{Error, Result};
use nix_compat::StorePath;
use nix_store::HostStore;
use std::path::Path;

/// Name of the builder in the store.
const NAME: &str = "hc-builder";

/// The store path of the builder; adds `exe` to the store when none is pinned for this image code.
///
/// # Errors
/// When the store cannot be read or written.
pub fn pinned(store: &HostStore, exe: &Path) -> Result<StorePath> {
    let link = store.state_dir().join("hc").join(format!("builder-{}", hc_image::SOURCE_ID));
    if let Ok(target) = std::fs::read_link(&link)
        && let Some((path, [])) = target
            .as_os_str()
            .to_str()
            .and_then(|text| nix_compat::path::split(text.as_bytes()).ok())
        && store.is_valid(&path)?
    {
        return Ok(path);
    }
    let path = store.add_executable(NAME, exe)?;
    // Behind a daemon nobody but root has a place for the pin: the path stays while this is open.
    if matches!(store, HostStore::Daemon(_)) {
        return Ok(path);
    }
    if let Some(directory) = link.parent() {
        hc_fs::durable::create_dir_all(directory, 0o755)?;
    }
    hc_fs::durable::symlink(Path::new(&nix_compat::StoreDir::default().render_path(&path)), &link)?;
    store.add_root(&link).map_err(Error::from)?;
    Ok(path)
}

/// Unpins every builder, so that nothing of hc keeps a store path.
///
/// # Errors
/// When a pin cannot be removed.
pub fn forget(store: &HostStore) -> Result<()> {
    Ok(hc_fs::tree::remove(&store.state_dir().join("hc"))?)
}
