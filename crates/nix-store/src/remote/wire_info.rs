//! What is known about a path, to and from the wire.

use crate::info::PathInfo;
use nix_compat::StorePath;
use nix_compat::wire::UnkeyedPathInfo;
use std::time::{Duration, UNIX_EPOCH};

pub(super) fn from_wire(path: StorePath, info: UnkeyedPathInfo) -> PathInfo {
    PathInfo {
        path,
        nar_hash: info.nar_hash,
        nar_size: info.nar_size,
        references: info.references,
        deriver: info.deriver,
        // A time that does not exist is no reason to fail.
        registered: UNIX_EPOCH
            .checked_add(Duration::from_secs(info.registered))
            .unwrap_or(UNIX_EPOCH),
        ultimate: info.ultimate,
        signatures: info.signatures,
        ca: info.ca,
    }
}

pub(super) fn to_wire(info: &PathInfo) -> UnkeyedPathInfo {
    UnkeyedPathInfo {
        deriver: info.deriver.clone(),
        nar_hash: info.nar_hash.clone(),
        references: info.references.clone(),
        registered: info.registered.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        nar_size: info.nar_size,
        ultimate: info.ultimate,
        signatures: info.signatures.clone(),
        ca: info.ca.clone(),
    }
}
