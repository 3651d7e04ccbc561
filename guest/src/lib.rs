//! The first process of a virtual machine, `/init` of hc's initrds: it loads the modules it was
//! packed with, finds the root file system, learns from the host who the machine is, and becomes the
//! image's init or runs one command; then it serves the host.
//!
//! It has no C library and no standard library, which makes it a static program of less than two hundred
//! kilobytes: all of it is read by the firmware before a machine's first instruction. hc-image's
//! build script compiles `start.rs` with these modules and takes the program in; this library is the
//! same modules for tests and lints, and [`wire`] for the host's end.
//!
//! The parts, in the order they run: [`boot`] makes `/proc`, `/sys` and `/dev`; [`words`] reads what
//! is wanted from `/hc/config` and the kernel's command line; [`modules`] are loaded; [`root`] is found
//! and mounted. Where the machine has the port `hc.guest`, [`agent`] speaks [`wire`] on it, and
//! [`identity`] and [`network`] do what the host says; [`payload`] is executed.
#![cfg_attr(not(test), no_std)]
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

extern crate alloc;

pub mod account;
pub mod agent;
pub mod ask;
pub mod boot;
pub mod heap;
pub mod identity;
pub mod modules;
pub mod mounts;
pub mod netlink;
pub mod network;
pub mod payload;
pub mod root;
pub mod superblock;
pub mod sys;
pub mod tar;
pub mod wire;
pub mod words;
