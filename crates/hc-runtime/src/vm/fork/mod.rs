//! Forking a machine that runs: memory and disk at one instant.
//!
//! QEMU sends the memory to another QEMU while the machine runs (a live migration whose end is held back:
//! QEMU asks for leave to switch over, and nobody gives it), and its disks are shared or mirrored meanwhile.
//! Then the guest is told to stand still, the computer is stopped, what is left is sent, and it goes on
//! as itself; the other one learns who it is before it takes a step. The stop is as long as the last of
//! that takes.
//!
//! The two supervisors speak over the original's socket `fork.sock`, one message each way at a time:
//! [`Facts`], [`Wanted`] with the migration's socket and the disks' files, [`Done`].

mod attend;
mod copy;
mod disks;
mod original;

pub(super) use copy::Incoming;
pub(super) use original::Forking;

use super::command::Block;
use crate::error::{Doing, Problem, Res};
use crate::sys::socket;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Name of the original's socket in its run directory.
pub(super) const SOCKET: &str = "fork.sock";

/// How a fork's disks came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Disk {
    /// They share their blocks with the original's.
    Reflink,
    /// One of them is a copy, or all are, made while the original ran.
    Copy,
}

/// What the computer is, as far as its description does not say it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Facts {
    /// MACs of its devices, in order.
    macs: Vec<[u8; 6]>,
    block: Block,
    /// Bytes of its disk.
    size: u64,
    /// Bytes of its volumes, in the order of their names.
    #[serde(default)]
    volumes: Vec<u64>,
}

/// The other computer is on: go on. Descriptors come with it: the socket that the migration goes
/// through, the file for the disk, and those for the volumes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Wanted {}

/// How it went.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Done {
    /// The original goes on, after so many microseconds.
    Forked { pause_us: u64, disk: Disk },
    /// It goes on, and there is no fork; a sentence.
    Failed(String),
}

fn say<M: Serialize>(to: BorrowedFd<'_>, message: &M, fds: &[BorrowedFd<'_>]) -> Res<()> {
    let text = serde_json::to_vec(message).expect("it has string keys only");
    socket::send(to, &text, fds).doing("speak to the other supervisor")
}

fn hear<M: DeserializeOwned>(from: &OwnedFd) -> Res<(M, Vec<OwnedFd>)> {
    let (text, fds) =
        socket::receive(from.as_fd(), true).doing("hear from the other supervisor")?;
    if text.is_empty() {
        return Err(Problem::plain("the other machine's supervisor ended"));
    }
    let message = serde_json::from_slice(&text).map_err(|error| {
        Problem::plain(format!("the other machine's supervisor is of another version: {error}"))
    })?;
    Ok((message, fds))
}
