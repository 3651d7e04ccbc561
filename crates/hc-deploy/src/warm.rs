//! Evaluating a cloud again and again, with everything kept that an edit does not reach.

use crate::assemble::{Door, Prepared};
use crate::cloud::{Request, assemble, door, evaluate, settings};
use crate::{Error, Result};
use nix_lang::{Arena, Evaluator, Watched};
use std::path::PathBuf;

/// An evaluator is dropped when its memory has grown to this many times that of its first run: old
/// values are never given back one by one.
pub(crate) const GROWTH: usize = 2;

/// Evaluates a cloud now and after each change, until `wait` has no more.
///
/// `turn` gets each result. `wait` gets what was read, and says which paths changed since; changes that
/// cannot make a difference are left out without a turn.
///
/// # Errors
/// When the evaluation cannot be started. Errors of evaluation go to `turn`.
pub fn keep(
    request: &Request,
    mut turn: impl FnMut(Result<Prepared<'_>>) + Send,
    mut wait: impl FnMut(&[Watched]) -> Option<Vec<PathBuf>> + Send,
) -> Result<()> {
    nix_lang::on_big_stack(|| while keep_one(request, &mut turn, &mut wait) {})
        .map_err(|e| Error::Evaluation(format!("cannot start the evaluator: {e}")))
}

/// The life of one evaluator. Whether another one is to go on.
fn keep_one(
    request: &Request,
    turn: &mut impl FnMut(Result<Prepared<'_>>),
    wait: &mut impl FnMut(&[Watched]) -> Option<Vec<PathBuf>>,
) -> bool {
    let io = door(request);
    let arena = Arena::new();
    let nix = Evaluator::warm(&arena, &io, settings(request));
    let mut changed: Option<Vec<PathBuf>> = None;
    let mut first_size = 0;
    loop {
        let evaluated = nix.again(changed.as_deref(), |nix| evaluate(nix, request));
        if nix.is_spoiled() && first_size > 0 {
            return true;
        }
        turn(evaluated.and_then(|evaluated| assemble(Door::Lent(&io), evaluated)));
        first_size = if first_size == 0 { arena.size() } else { first_size };
        let watched = nix.watched();
        let paths = loop {
            match wait(&watched) {
                None => return false,
                Some(paths) if nix.concerned_by(&paths) => break paths,
                Some(_) => {}
            }
        };
        if nix.is_spoiled() || arena.size() > GROWTH * first_size {
            return true;
        }
        changed = Some(paths);
    }
}
