//! The first process of a virtual machine, `/init` of hc's initrds: it loads the modules it was
//! packed with, finds the root file system, and becomes the image's init or runs one command.
//!
//! It has no C library and no standard library, which makes it a static program of some thirty
//! kilobytes: all of it is read by the firmware before a machine's first instruction. hc-image's
//! build script compiles `start.rs` with these modules and takes the program in; this library is the
//! same modules for tests and lints.
//!
//! The parts, in the order they run: [`boot`] makes `/proc`, `/sys` and `/dev`; [`words`] reads what
//! is wanted from `/hc/config` and the kernel's command line; [`modules`] are loaded; [`root`] is found
//! and mounted; [`payload`] is executed there.
#![cfg_attr(not(test), no_std)]
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

extern crate alloc;

pub mod boot;
pub mod modules;
pub mod payload;
pub mod root;
pub mod superblock;
pub mod sys;
pub mod wire;
pub mod words;
