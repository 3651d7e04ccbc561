//! Bases and forks on real file systems: loop devices with btrfs, XFS and ext4, mounted in a mount
//! namespace that ends with the test.
#![allow(clippy::disallowed_methods)]

mod disks;
mod kills;
mod place;
mod roots;
