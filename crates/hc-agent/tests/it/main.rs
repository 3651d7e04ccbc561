//! The agent as a process of its own, with supervisors that are processes of their own.
#![allow(clippy::disallowed_methods, missing_docs)]

mod activation;
mod daemon;
mod host;
mod matrix;
mod play;
mod sequences;
mod supervision;
