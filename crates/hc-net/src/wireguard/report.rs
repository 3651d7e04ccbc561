//! How it stands with the other ends of a tunnel.

use hc_spec::Name;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What is known of the way to one other end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Where it was heard last, or is expected.
    pub endpoint: Option<SocketAddr>,
    /// Seconds since both agreed on a key; none while they never did.
    pub handshake_sec: Option<u64>,
    /// Bytes that came from it.
    pub received: u64,
    /// Bytes that went to it.
    pub sent: u64,
}

/// By name: hosts, and computers that are none.
pub type Reports = BTreeMap<Name, Report>;
