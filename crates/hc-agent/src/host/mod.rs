//! This host's network and store, behind the agent's traits.

mod machine_network;
mod mend;
mod networks;
mod roots;

pub use machine_network::{MachineNetwork, ThrowawayNetwork};
pub use networks::HostNetworks;
pub use roots::StoreRoots;
