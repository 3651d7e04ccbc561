//! Flakes.

use crate::value::PrimOp;

/// How the lock file of a flake is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LockMode {
    /// Write what is missing.
    #[default]
    Write,
    /// Lock what is missing in memory only.
    Memory,
    /// Fail when something is missing.
    Frozen,
}

/// How to evaluate a flake.
#[derive(Clone, Debug, Default)]
pub struct FlakeOptions {
    /// What to do with inputs that the lock file does not have.
    pub lock: LockMode,
}

pub(crate) static OPS: &[PrimOp] = &[];
