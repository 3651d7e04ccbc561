//! Where the time of a start goes.

use serde::{Deserialize, Serialize};

/// One part of a start. Some go on at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// The supervisor is executed, from when it was asked for.
    Execute,
    /// The description is read.
    Read,
    /// The machine is made this process's own.
    Lock,
    /// Control groups are made.
    Cgroup,
    /// Namespaces and the first process are made.
    Clone,
    /// The image is forked.
    Fork,
    /// Volumes are found, checked and mounted.
    Volumes,
    /// The root is mounted and handed over.
    Mount,
    /// Links are made.
    Network,
    /// A virtual machine: it is known, or found out, what runs its instructions.
    Accelerator,
    /// From QEMU's execution until it answers.
    Qemu,
    /// The memory that was saved, or that another machine has, is taken in.
    Memory,
    /// From there, or from QEMU's first answer, until the guest listens on the channel.
    Guest,
    /// Until the guest is who it was told to be.
    Identity,
    /// From the root and links being there to the payload's first instruction.
    Exec,
    /// From there to its being ready.
    Ready,
}

/// When a step began and ended, in microseconds since the start was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    /// Which step.
    pub step: Step,
    /// When it began.
    pub from_us: u64,
    /// When it ended.
    pub to_us: u64,
}

/// Nanoseconds on the clock that never goes back (`CLOCK_MONOTONIC`), which all processes share.
#[must_use]
pub fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// The clock of one start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(u64);

impl Clock {
    /// Counts from `requested`, or from now.
    pub fn new(requested: Option<u64>) -> Self {
        let now = now_ns();
        Self(requested.filter(|asked| *asked <= now).unwrap_or(now))
    }

    /// Microseconds since the start was asked for.
    pub fn us(self) -> u64 {
        now_ns().saturating_sub(self.0) / 1000
    }

    /// A step that began at `from_us` and ends now.
    pub fn stage(self, step: Step, from_us: u64) -> Stage {
        Stage { step, from_us, to_us: self.us() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_count_from_the_request() {
        let clock = Clock::new(Some(now_ns() - 5_000_000));
        let stage = clock.stage(Step::Lock, 7);
        assert!(stage.to_us >= 5000 && stage.from_us == 7, "{stage:?}");
        // One that lies ahead is of another clock.
        assert!(Clock::new(Some(u64::MAX)).us() < 5_000_000);
    }
}
