//! Machines on this kernel, as root: each has directories and control groups of its own, no links,
//! and is gone when its test is.
//!
//! The supervisor is `examples/machine.rs`, which `cargo test` builds; images are made here from
//! busybox with mkfs.erofs.
#![allow(clippy::disallowed_methods)]

mod bench;
mod death;
mod enter;
mod init;
mod isolation;
mod life;
mod place;
mod placed;
mod root;
