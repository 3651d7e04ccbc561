//! Builders as a build runs them: another process, its inputs in the environment.
#![allow(clippy::disallowed_methods)]

mod archive;
mod minimal;
mod rootfs;
mod support;
