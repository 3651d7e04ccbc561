//! Images ahead of time: packages and archives to EROFS, disks to raw, kernels to ELF.
//!
//! * [`tree`] — a file tree as data: explicit entries, or a walk of a directory;
//! * [`erofs`] — that tree as an uncompressed EROFS image, the same bytes every time;
//! * [`deb`] — Debian packages: the archive, the control fields, version order;
//! * [`debian`] — the lock file of a Debian image and the resolver that writes it;
//! * [`rootfs`] — packages to a configured root file system, as a derivation's builder;
//! * [`compress`] — compressed streams by their first bytes;
//! * [`disk`] — qcow2 and other disk images to sparse raw ones;
//! * [`kernel`] — kernels to ELF files with a PVH entry, and their modules;
//! * [`initrd`] — plain cpio archives, with hc's first process of a virtual machine;
//! * [`nixos`] — a NixOS system that runs straight off the store;
//! * [`minimal`] — a root file system with nothing in it but hc;
//! * [`builder`] — what `hc builder <what>` calls.

pub mod archive;
pub mod builder;
pub mod compress;
pub mod config;
mod confine;
pub mod deb;
pub mod debian;
pub mod disk;
pub mod erofs;
mod error;
pub mod initrd;
pub mod kernel;
pub mod layer;
pub mod minimal;
pub mod nixos;
pub mod oci;
pub mod rootfs;
pub mod tarball;
pub mod tree;

pub use error::{Error, Result};

/// A hash of the code that decides what an image's bytes are: this crate, `hc-fs`, and the
/// versions of what they use. An hc whose id is the same builds the same images.
pub const SOURCE_ID: &str = env!("HC_IMAGE_SOURCE_ID");

#[cfg(test)]
mod tests {
    #[test]
    fn the_source_id_is_a_hash() {
        assert_eq!(super::SOURCE_ID.len(), 32);
        assert!(super::SOURCE_ID.bytes().all(|b| b.is_ascii_hexdigit()));
    }
}
