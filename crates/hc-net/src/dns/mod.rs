//! The name server of a host: names of machines from the machine set and live readiness, the
//! rest from the resolvers the host had before.
//!
//! `<machine>.<network>.<host>.<cloud>.internal` has AAAA and A records while the machine is
//! ready, and its addresses have PTR records. Aliases are CNAME records beside it, services SRV
//! records below the network and below the machine. `<host>.<cloud>.internal` is the host itself,
//! by the gateway addresses of its networks. Short names work through the search domain of whoever
//! asks.
//!
//! A machine knows the names of its own networks and of what it may reach; the host knows all.
//! Nobody else is answered. Whoever asks for a machine that is starting waits a little.

mod datagrams;
mod forward;
mod handler;
mod message;
mod names;
mod owner;
mod repeated;
mod server;
mod table;
mod view;

pub use names::{MachineNames, Names, State};
pub use server::Server;
