//! The machine schema, deterministic addresses, and the plan.
//!
//! Everything here is pure: values in, values out. [`machine`] and [`host`] are what evaluation
//! produces, [`vm`] and [`q35`] what virtual machines have besides, [`check`] holds them against each other,
//! [`addr`] derives every address from names alone, [`set`] is a machine set as data, and [`plan`] is
//! the difference of two sets.

pub mod addr;
pub mod allow;
pub mod check;
pub mod health;
pub mod host;
pub mod image;
pub mod lan;
pub mod machine;
pub mod name;
pub mod plan;
pub mod q35;
pub mod set;
pub mod storage;
pub mod vm;

pub use host::{HostSpec, NetworkSpec};
pub use machine::MachineSpec;
pub use name::Name;
pub use plan::Plan;
pub use set::MachineSet;
pub use vm::Vm;
