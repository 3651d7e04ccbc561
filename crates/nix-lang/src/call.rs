//! Calling functions: closures, builtins, functors.

use nix_syntax::ast::{self, ExprKind, Lambda};

use crate::Evaluator;
use crate::error::{Error, Result};
use crate::eval::stack_overflow;
use crate::slot::Slot;
use crate::source::Pos;
use crate::sym;
use crate::value::{Closure, Delayed, Env, PrimOp, PrimOpApp, Thunk, Value};

/// Where a thunk is while a function is called, if nothing refers to it afterwards.
type Room<'a> = std::mem::MaybeUninit<Thunk<'a>>;

/// More arguments than this at once are put into the arena. No builtin takes more.
const FEW: usize = 3;

impl<'a> Evaluator<'a> {
    #[inline(never)]
    pub(crate) fn eval_call(
        &self,
        call: &'a ast::Call<'a>,
        env: &'a Env<'a>,
        pos: &Pos,
    ) -> Result<Slot<'a>> {
        let fun = self.eval_slot(call.function, env)?;
        let lent = self.lends(fun, call.args.len());
        if let [arg] = call.args {
            let mut room = Room::uninit();
            let arg = self.given(arg, env, lent & 1 != 0, &mut room);
            return self.call_slots(fun, &[arg], pos);
        }
        self.call_many(fun, call.args, lent, env, pos)
    }

    /// Which of so many arguments nothing refers to as they were given once the call has a result;
    /// the lowest bit is the first.
    #[inline]
    fn lends(&self, fun: Slot<'a>, count: usize) -> u8 {
        if self.graph.is_some() {
            return 0;
        }
        if let Some(Closure { lambda, .. }) = fun.as_lambda() {
            return match lambda.chain as usize <= count {
                true => lambda.lends,
                false => u8::from(lambda.formals.is_some()),
            };
        }
        match fun.get() {
            Value::PrimOp(op) if op.arity <= count => op.lends,
            Value::PrimOpApp(app) if app.op.arity <= count + app.args().len() => {
                app.op.lends >> app.args().len()
            }
            _ => 0,
        }
    }

    /// An argument for later. One that is lent is a thunk in `room`, if it has to be one at all.
    #[inline(always)]
    fn given(
        &self,
        arg: &'a ast::Expr<'a>,
        env: &'a Env<'a>,
        lent: bool,
        room: &mut Room<'a>,
    ) -> Slot<'a> {
        match self.at_hand(arg, env) {
            Some(slot) => slot,
            None if lent => {
                let thunk = std::ptr::from_ref(room.write(Thunk::new(0, Delayed::Expr(arg, env))));
                // SAFETY: the room is on the stack of a call that has not returned. When it has,
                // nothing refers to the thunk: the function only evaluates such an argument, which
                // `lends` of `Lambda` and of `PrimOp` promise, and a call gives an evaluated value,
                // which is no thunk.
                Slot::thunk(unsafe { &*thunk })
            }
            None => self.waiting(arg, env),
        }
    }

    /// Several arguments: nobody keeps the slice, so it lies on the stack where it is short.
    #[inline(never)]
    fn call_many(
        &self,
        fun: Slot<'a>,
        args: &'a [&'a ast::Expr<'a>],
        lent: u8,
        env: &'a Env<'a>,
        pos: &Pos,
    ) -> Result<Slot<'a>> {
        let [mut first, mut second, mut third] = [const { Room::uninit() }; FEW];
        let args = match *args {
            [one, two] => &[
                self.given(one, env, lent & 1 != 0, &mut first),
                self.given(two, env, lent & 2 != 0, &mut second),
            ],
            [one, two, three] => &[
                self.given(one, env, lent & 1 != 0, &mut first),
                self.given(two, env, lent & 2 != 0, &mut second),
                self.given(three, env, lent & 4 != 0, &mut third),
            ] as &[Slot<'a>],
            _ => {
                let args = args.iter().map(|arg| self.delayed(arg, env));
                self.arena.alloc_slice_fill_iter(args)
            }
        };
        self.call_slots(fun, args, pos)
    }

    #[inline]
    pub(crate) fn call_one(&self, fun: Value<'a>, arg: Value<'a>, pos: Pos) -> Result<Value<'a>> {
        self.call_slots(self.slot(fun), &[self.slot(arg)], &pos).map(Slot::get)
    }

    /// Apply a function to arguments; the result is evaluated.
    pub(crate) fn call(&self, fun: Value<'a>, args: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
        let fun = self.slot(fun);
        let result = match *args {
            [one] => self.call_slots(fun, &[self.slot(one)], &pos),
            [one, two] => self.call_slots(fun, &[self.slot(one), self.slot(two)], &pos),
            _ => {
                let args: Vec<Slot<'a>> = args.iter().map(|arg| self.slot(*arg)).collect();
                self.call_slots(fun, &args, &pos)
            }
        };
        result.map(Slot::get)
    }

    /// The same, of values as they are kept.
    #[inline]
    pub(crate) fn call_slots(
        &self,
        fun: Slot<'a>,
        args: &[Slot<'a>],
        pos: &Pos,
    ) -> Result<Slot<'a>> {
        let depth = self.enter(pos)?;
        let result = match fun.as_lambda() {
            Some(closure) => self.call_lambda(closure, args, pos),
            None => match fun.as_prim_op() {
                Some(op) if op.arity == args.len() => self.call_primop(op, args, pos),
                _ => self.call_entered(fun, args, pos),
            },
        };
        self.depth.set(depth);
        result
    }

    #[inline(never)]
    fn call_entered(
        &self,
        mut fun: Slot<'a>,
        mut args: &[Slot<'a>],
        pos: &Pos,
    ) -> Result<Slot<'a>> {
        while let Some((first, rest)) = args.split_first() {
            fun = match fun.get() {
                Value::Lambda(closure) => return self.call_lambda(closure, args, pos),
                Value::PrimOp(op) => {
                    if args.len() < op.arity {
                        return Ok(self.partly_applied(op, &[], args));
                    }
                    let (now, later) = args.split_at(op.arity);
                    args = later;
                    self.call_primop(op, now, pos)?
                }
                Value::PrimOpApp(app) => {
                    let missing = app.op.arity - app.args().len();
                    let (now, later) = args.split_at(missing.min(args.len()));
                    if now.len() < missing {
                        return Ok(self.partly_applied(app.op, app.args(), now));
                    }
                    args = later;
                    let before = app.args();
                    let mut all = [Slot::HOLE; FEW];
                    all[..before.len()].copy_from_slice(before);
                    all[before.len()..app.op.arity].copy_from_slice(now);
                    self.call_primop(app.op, &all[..app.op.arity], pos)?
                }
                Value::Thunk(_) => self.force_slot(fun, pos)?,
                Value::Attrs(attrs) if attrs.has(sym::FUNCTOR) => {
                    let functor = self.slot(self.select(attrs, sym::FUNCTOR, *pos)?);
                    args = rest;
                    self.call_slots(functor, &[fun, *first], pos)?
                }
                other => {
                    let text = self.brief(other);
                    return Err(Error::ty(
                        format!(
                            "attempt to call something which is not a function but {}: {text}",
                            other.described()
                        ),
                        *pos,
                    ));
                }
            };
        }
        self.force_slot(fun, pos)
    }

    /// A builtin with fewer arguments than it takes.
    fn partly_applied(
        &self,
        op: &'static PrimOp,
        before: &[Slot<'a>],
        more: &[Slot<'a>],
    ) -> Slot<'a> {
        let args = before.iter().chain(more).copied();
        let mut all =
            bumpalo::collections::Vec::with_capacity_in(before.len() + more.len(), self.arena);
        all.extend(args);
        let app = PrimOpApp::new(self.arena, op, all.into_bump_slice());
        self.slot(Value::PrimOpApp(self.arena.alloc(app)))
    }

    /// One level deeper; the depth before is to be set again.
    #[inline]
    pub(crate) fn enter(&self, pos: &Pos) -> Result<u32> {
        let depth = self.depth.get();
        if depth >= self.settings.max_call_depth {
            return Err(stack_overflow(*pos));
        }
        self.depth.set(depth + 1);
        Ok(depth)
    }

    /// What counts as one call deeper, as it does in C++ Nix.
    #[inline]
    pub(crate) fn nested<T>(&self, pos: Pos, body: impl FnOnce() -> Result<T>) -> Result<T> {
        let depth = self.enter(&pos)?;
        let result = body();
        self.depth.set(depth);
        result
    }

    #[inline(never)]
    fn call_primop(&self, op: &'static PrimOp, args: &[Slot<'a>], pos: &Pos) -> Result<Slot<'a>> {
        let result = match args {
            [one] => (op.run)(self, &[one.get()], *pos),
            [one, two] => (op.run)(self, &[one.get(), two.get()], *pos),
            [one, two, three] => (op.run)(self, &[one.get(), two.get(), three.get()], *pos),
            _ => (op.run)(self, &[], *pos),
        };
        match result {
            // A builtin may hand back one of its arguments as it is.
            Ok(value) => self.force_slot(self.slot(value), pos),
            Err(error) => {
                let text = format!("while calling the '{}' builtin", op.name);
                Err(error.at(*pos).frame(*pos, text))
            }
        }
    }

    /// Calls a function with the first of the arguments, of which there is one; where that gives no more than a function
    /// that is written within it, with the next ones at once.
    fn call_lambda(
        &self,
        closure: &'a Closure<'a>,
        args: &[Slot<'a>],
        pos: &Pos,
    ) -> Result<Slot<'a>> {
        let (mut lambda, mut env, mut rest) = (closure.lambda, closure.env, args);
        // How many of the innermost scopes hold nothing but an argument.
        let mut plain = 0;
        while let [arg, later @ ..] = rest {
            if let Err(error) = self.tick(pos) {
                return Err(self.while_calling(error, lambda, *pos));
            }
            rest = later;
            if lambda.formals.is_none() {
                env = self.bind_plain(lambda, env, *arg);
                plain += 1;
            } else {
                env = match self.bind_formals(lambda, env, *arg, pos) {
                    Ok(env) => env,
                    Err(error) => return Err(self.while_calling(error, lambda, *pos)),
                };
                plain = 0;
            }
            if !rest.is_empty()
                && let ExprKind::Lambda(inner) = lambda.body.kind
                && self.graph.is_none()
            {
                lambda = inner;
                continue;
            }
            break;
        }
        let result = self.eval_slot(lambda.body, env);
        if self.graph.is_none() {
            if plain > 0 {
                self.leave(env, plain);
            } else if !env.is_kept() {
                self.retire(env);
            }
        }
        match result {
            Ok(slot) if rest.is_empty() => Ok(slot),
            Ok(slot) => self.call_entered(slot, rest, pos),
            Err(error) => Err(self.while_calling(error, lambda, *pos)),
        }
    }

    #[cold]
    fn while_calling(&self, error: Error, lambda: &Lambda<'a>, pos: Pos) -> Error {
        let name = self.lambda_name(lambda);
        error.frame(pos, format!("while calling {name}"))
    }
}
