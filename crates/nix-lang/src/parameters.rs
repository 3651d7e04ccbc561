//! The scope of a function's body: what its parameters stand for.

use nix_syntax::ast::Lambda;
use nix_syntax::{Symbol, written_name};

use crate::Evaluator;
use crate::error::{Error, Result};
use crate::slot::Slot;
use crate::source::Pos;
use crate::suggest;
use crate::value::{Attrs, Env};
use crate::warm::Site;

impl<'a> Evaluator<'a> {
    /// Nothing is evaluated in this scope any more, nor in those around it: so many hold an argument
    /// and were made by this call. Those that nothing keeps are for others now.
    #[inline]
    pub(crate) fn leave(&self, mut env: &'a Env<'a>, count: u32) {
        for _ in 0..count {
            // What keeps a scope keeps those around it.
            if env.is_kept() {
                return;
            }
            let up = env.up();
            let free = &self.free_scopes[1];
            env.retire(free.get());
            free.set(Some(env));
            match up {
                Some(up) => env = up,
                None => return,
            }
        }
    }

    /// Nothing refers to this scope any more: it is for others now.
    #[inline]
    pub(crate) fn retire(&self, env: &'a Env<'a>) {
        if let Some(free) = self.free_scopes.get(env.slots().len()) {
            env.retire(free.get());
            free.set(Some(env));
        }
    }

    /// A scope of so many variables that are not bound yet.
    #[inline]
    pub(crate) fn scope(&self, up: &'a Env<'a>, count: usize) -> &'a Env<'a> {
        if self.graph.is_none()
            && let Some(list) = self.free_scopes.get(count)
            && let Some(free) = list.get()
        {
            list.set(free.up());
            return free.renew_all(up);
        }
        Env::new(self.arena, Some(up), std::iter::repeat_n(Slot::HOLE, count))
    }

    /// The scope of the body of a function that takes its argument as it is.
    #[inline]
    pub(crate) fn bind_plain(
        &self,
        lambda: &'a Lambda<'a>,
        up: &'a Env<'a>,
        arg: Slot<'a>,
    ) -> &'a Env<'a> {
        let list = &self.free_scopes[1];
        match list.get() {
            Some(free) if self.graph.is_none() => {
                list.set(free.up());
                free.renew(up, arg)
            }
            _ => self.env(Site::of(lambda), up, arg),
        }
    }

    /// The scope of the body of a function that takes its argument apart.
    #[inline(never)]
    pub(crate) fn bind_formals(
        &self,
        lambda: &'a Lambda<'a>,
        up: &'a Env<'a>,
        arg: Slot<'a>,
        pos: &Pos,
    ) -> Result<&'a Env<'a>> {
        let formals = lambda.formals.as_ref();
        let slot = self.force_slot(arg, pos)?;
        let (Some(attrs), Some(formals)) = (slot.as_attrs(), formals) else {
            return Err(self.wrong_type("a set", slot.get(), *pos).frame(
                lambda.head,
                format!("while evaluating the argument of {}", self.lambda_name(lambda)),
            ));
        };
        if let Some(graph) = &self.graph
            && let Some(env) = self.bind_formals_again(graph, (lambda, up), slot.get(), attrs)
        {
            return Ok(env);
        }
        // The function keeps what is around it.
        let env = self.scope(up, lambda.slots());
        if let Some(graph) = &self.graph {
            graph.new_env(Site::of(lambda), env);
        }
        let mut slots = env.slots();
        if lambda.arg.is_some() {
            slots[0].set(slot);
            slots = &slots[1..];
        }
        let mut found = 0;
        for (formal, slot) in formals.list.iter().zip(slots) {
            let given = attrs.slot(formal.name);
            if !given.is_hole() {
                found += 1;
                slot.set(given);
            } else if let Some(default) = formal.default {
                slot.set(self.waiting(default, env));
            } else {
                return Err(self.missing_argument(lambda, formal.name, *pos));
            }
        }
        if !formals.ellipsis && found != self.count(attrs) {
            return Err(self.unexpected_argument(lambda, attrs, *pos));
        }
        Ok(env)
    }

    #[cold]
    fn missing_argument(&self, lambda: &Lambda<'a>, name: Symbol, pos: Pos) -> Error {
        let message = format!(
            "{} called without required argument '{}'",
            self.lambda_name(lambda),
            self.written_name(name)
        );
        Error::ty(message, pos).frame(lambda.head, "the function is here")
    }

    #[cold]
    fn unexpected_argument(&self, lambda: &Lambda<'a>, attrs: &'a Attrs<'a>, pos: Pos) -> Error {
        let wanted: Vec<String> = lambda
            .formals
            .iter()
            .flat_map(|formals| formals.list)
            .map(|formal| self.name(formal.name))
            .collect();
        let unexpected = self
            .entries(attrs)
            .iter()
            .map(|attr| self.name(attr.name))
            .find(|name| !wanted.contains(name))
            .unwrap_or_default();
        let message = format!(
            "{} called with unexpected argument '{}'",
            self.lambda_name(lambda),
            written_name(unexpected.as_bytes())
        );
        let error = Error::ty(message, pos).frame(lambda.head, "the function is here");
        let near = suggest::near(&unexpected, wanted.iter().map(String::as_str));
        if near.is_empty() { error } else { error.hint(suggest::did_you_mean(&near)) }
    }

    #[cold]
    pub(crate) fn lambda_name(&self, lambda: &Lambda<'a>) -> String {
        lambda.name.map_or_else(
            || "function 'anonymous lambda'".to_owned(),
            |name| format!("function '{}'", self.name(name)),
        )
    }
}
