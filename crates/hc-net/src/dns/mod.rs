//! The name server of a host: names of machines from the machine set and live readiness, the
//! rest from the resolvers the host had before.
//!
//! `<machine>.<network>.<host>.<cloud>.internal` has AAAA and A records while the machine is
//! ready, and its addresses have PTR records. `<host>.<cloud>.internal` is the host itself, by the
//! gateway addresses of its networks. Short names work through the search domain of whoever asks.

mod forward;
mod handler;
mod names;
mod owner;
mod server;
mod table;

pub use names::{MachineNames, Names};
pub use server::Server;
