//! Running a list of steps that can be repeated and undone.
//!
//! Whoever is killed between any two steps starts again at the first one, forward or back: so a
//! step's `run` must be fine with having been run, and its `undo` with not having been.

use crate::failpoints::{Failpoints, Injected, When};
use std::fmt;
use std::future::Future;

/// An action made of steps.
pub trait Steps: Sync {
    /// One of them.
    type Step: Copy + Send + Sync;
    /// Why one fails.
    type Error: fmt::Display + From<Injected> + Send;

    /// All of them, in order.
    fn steps(&self) -> &[Self::Step];

    /// What failpoints call it.
    fn name(step: Self::Step) -> &'static str;

    /// Does it, or what of it is not done yet.
    fn run(&self, step: Self::Step) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Undoes it, or what of it was done.
    fn undo(&self, step: Self::Step) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Does all steps in order; stops at the first that fails. Undoing is the caller's decision.
///
/// # Errors
/// What the step said.
pub async fn run<A: Steps>(action: &A, failpoints: &Failpoints) -> Result<(), A::Error> {
    for step in action.steps() {
        let name = A::name(*step);
        failpoints.pass(name, When::Before).await?;
        action.run(*step).await?;
        failpoints.pass(name, When::After).await?;
    }
    Ok(())
}

/// Undoes all steps, last one first. One that cannot be undone does not keep the others from it.
///
/// # Errors
/// What each of them said, with its name.
pub async fn undo<A: Steps>(
    action: &A,
    failpoints: &Failpoints,
) -> Result<(), Vec<(&'static str, A::Error)>> {
    let mut failed = Vec::new();
    for step in action.steps().iter().rev() {
        let name = A::name(*step);
        let point = format!("undo-{name}");
        let undone = async {
            failpoints.pass(&point, When::Before).await?;
            action.undo(*step).await?;
            failpoints.pass(&point, When::After).await.map_err(A::Error::from)
        };
        if let Err(error) = undone.await {
            failed.push((name, error));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed) }
}
