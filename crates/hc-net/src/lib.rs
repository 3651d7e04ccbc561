//! Links, addresses, firewall and names.
//!
//! * [`links`] — bridges of networks, and machines' links into them;
//! * [`firewall`] — who may send what to whom;
//! * [`dns`] — the names of machines, answered from the machine set and live readiness;
//! * [`resolv`] — makes the host itself use those names;
//! * [`probe`] — what of this the host can do, for `hc doctor`;
//! * [`trace`] — which rule decides about a packet;
//! * [`monitor`] — whether somebody takes it away;
//! * [`wireguard`] — other hosts, over a wire that is not trusted;
//! * [`blocking`] — the same without an async runtime.

pub mod blocking;
mod channel;
pub mod dns;
mod error;
pub mod firewall;
pub mod links;
mod message;
pub mod monitor;
mod netlink;
pub mod probe;
mod program;
pub mod resolv;
mod sysctl;
pub mod trace;
pub mod wireguard;

pub use error::{Error, Result};
