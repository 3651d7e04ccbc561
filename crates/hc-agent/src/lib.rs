//! The agent: one daemon per host that makes what runs equal to what `current` says.
//!
//! * [`generations`] — numbered machine sets and the one switch between them; needs no agent;
//! * [`journal`] and [`steps`] — an activation survives being killed between any two steps;
//! * [`serve()`] — the daemon: activation, supervision, HTTP+JSON over a UNIX socket ([`wire`]);
//! * [`client`] — how the command line talks to it; [`start()`] — how it comes to run.
//!
//! What an activation touches outside of this crate hangs on three traits: [`Machines`] (with the
//! real [`ProcessMachines`]), [`Networks`] and [`Roots`].

mod activate;
mod agent;
mod api;
pub mod client;
mod config;
mod error;
mod evaluator;
mod failpoints;
mod fleet;
pub mod forks;
pub mod generations;
mod goal;
mod host;
pub mod journal;
mod lock;
mod machine;
mod machines;
mod networks;
mod process;
mod restarts;
mod roots;
mod serve;
mod set;
mod snapshots;
mod start;
mod status;
pub mod steps;
mod target;
mod unit;
mod watch;
pub mod wire;

pub use activate::STEPS;
pub use client::Client;
pub use config::AgentConfig;
pub use error::{AgentError, PartError};
pub use failpoints::{Action, Failpoint, Failpoints, When};
pub use generations::{Generation, Generations};
pub use host::{HostNetworks, MachineNetwork, StoreRoots, ThrowawayNetwork};
pub use machines::{Machines, ProcessMachines, REQUESTED};
pub use networks::{
    Carrier, MachineName, Networks, NoNetworks, OverlayView, Report, Reports, State,
};
pub use process::Process;
pub use restarts::Restarts;
pub use roots::{NoRoots, Roots};
pub use serve::{Parts, run, serve};
pub use set::read_set;
pub use start::{start, stop, unregister};
pub use status::{Exit, Phase, Status};
