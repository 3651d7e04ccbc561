//! Calling functions: closures, builtins, functors.

use nix_syntax::ast::{self, ExprKind, Lambda};
use nix_syntax::{Symbol, written_name};

use crate::Evaluator;
use crate::error::{Error, Result};
use crate::eval::stack_overflow;
use crate::slot::Slot;
use crate::source::Pos;
use crate::suggest;
use crate::sym;
use crate::value::{Attrs, Closure, Delayed, Env, PrimOp, PrimOpApp, Thunk, Value};
use crate::warm::Site;

/// Where a thunk is while a function is called, if nothing refers to it afterwards.
type Room<'a> = std::mem::MaybeUninit<Thunk<'a>>;

impl<'a> Evaluator<'a> {
    pub(crate) fn eval_call(
        &self,
        call: &'a ast::Call<'a>,
        env: &'a Env<'a>,
        pos: Pos,
    ) -> Result<Value<'a>> {
        let fun = self.eval(call.function, env)?;
        let lent = self.lends(fun, call.args.len());
        if let [arg] = call.args {
            let mut room = Room::uninit();
            let arg = self.given(arg, env, lent & 1 != 0, &mut room);
            return self.call_one(fun, arg, pos);
        }
        self.call_many(fun, call.args, lent, env, pos)
    }

    /// Which of so many arguments nothing refers to as they were given once the call has a result;
    /// the lowest bit is the first.
    #[inline]
    fn lends(&self, fun: Value<'a>, count: usize) -> u8 {
        if self.graph.is_some() {
            return 0;
        }
        match fun {
            Value::Lambda(Closure { lambda, .. }) if lambda.chain as usize <= count => lambda.lends,
            Value::Lambda(Closure { lambda, .. }) => u8::from(lambda.formals.is_some()),
            Value::PrimOp(op) if op.arity <= count => op.lends,
            Value::PrimOpApp(app) if app.op.arity <= count + app.args().len() => {
                app.op.lends >> app.args().len()
            }
            _ => 0,
        }
    }

    /// An argument for later. One that is lent is a thunk in `room`, if it has to be one at all.
    #[inline]
    fn given(
        &self,
        arg: &'a ast::Expr<'a>,
        env: &'a Env<'a>,
        lent: bool,
        room: &mut Room<'a>,
    ) -> Value<'a> {
        match self.at_hand(arg, env) {
            Some(value) => value,
            None if lent => {
                let thunk = std::ptr::from_ref(room.write(Thunk::new(0, Delayed::Expr(arg, env))));
                // SAFETY: the room is on the stack of a call that has not returned. When it has,
                // nothing refers to the thunk: the function only evaluates such an argument, which
                // `lends` of `Lambda` and of `PrimOp` promise, and a call gives an evaluated value,
                // which is no thunk.
                Value::Thunk(unsafe { &*thunk })
            }
            None => self.thunk(Delayed::Expr(arg, env)),
        }
    }

    /// Several arguments: nobody keeps the slice, so it lies on the stack where it is short.
    #[inline(never)]
    fn call_many(
        &self,
        fun: Value<'a>,
        args: &'a [&'a ast::Expr<'a>],
        lent: u8,
        env: &'a Env<'a>,
        pos: Pos,
    ) -> Result<Value<'a>> {
        let mut few = [Value::Null; 3];
        let mut rooms = [const { Room::uninit() }; 3];
        let Some(few) = few.get_mut(..args.len()) else {
            let args = args.iter().map(|arg| self.delay(arg, env));
            return self.call(fun, self.arena.alloc_slice_fill_iter(args), pos);
        };
        for (at, ((slot, arg), room)) in few.iter_mut().zip(args).zip(&mut rooms).enumerate() {
            *slot = self.given(arg, env, lent >> at & 1 != 0, room);
        }
        self.call(fun, few, pos)
    }

    #[inline]
    pub(crate) fn call_one(&self, fun: Value<'a>, arg: Value<'a>, pos: Pos) -> Result<Value<'a>> {
        match fun {
            Value::Lambda(closure) => {
                let depth = self.enter(pos)?;
                let (result, _) = self.call_lambda(closure, &[arg], pos);
                self.depth.set(depth);
                result
            }
            fun => self.call(fun, &[arg], pos),
        }
    }

    /// Apply a function to arguments; the result is evaluated.
    pub(crate) fn call(&self, fun: Value<'a>, args: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
        let depth = self.enter(pos)?;
        let result = self.call_entered(fun, args, pos);
        self.depth.set(depth);
        result
    }

    fn call_entered(
        &self,
        mut fun: Value<'a>,
        mut args: &[Value<'a>],
        pos: Pos,
    ) -> Result<Value<'a>> {
        while let Some((first, rest)) = args.split_first() {
            fun = match fun {
                Value::Lambda(closure) => {
                    let (result, used) = self.call_lambda(closure, args, pos);
                    args = &args[used..];
                    result?
                }
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
                    // No builtin takes more than three.
                    let mut all = [Value::Null; 3];
                    let (before, rest) = all.split_at_mut(app.args().len());
                    for (value, slot) in before.iter_mut().zip(app.args()) {
                        *value = slot.get();
                    }
                    rest[..missing].copy_from_slice(now);
                    self.call_primop(app.op, &all[..app.op.arity], pos)?
                }
                Value::Thunk(_) => self.force(fun, pos)?,
                Value::Attrs(attrs) if attrs.get(sym::FUNCTOR).is_some() => {
                    let functor = self.select(attrs, sym::FUNCTOR, pos)?;
                    args = rest;
                    self.call(functor, &[fun, *first], pos)?
                }
                other => {
                    let text = self.brief(other);
                    return Err(Error::ty(
                        format!(
                            "attempt to call something which is not a function but {}: {text}",
                            other.described()
                        ),
                        pos,
                    ));
                }
            };
        }
        self.force(fun, pos)
    }

    /// A builtin with fewer arguments than it takes.
    fn partly_applied(
        &self,
        op: &'static PrimOp,
        before: &[Slot<'a>],
        more: &[Value<'a>],
    ) -> Value<'a> {
        let mut args = before.to_vec();
        args.extend(more.iter().map(|value| self.slot(*value)));
        let args = self.arena.alloc_slice_copy(&args);
        Value::PrimOpApp(self.arena.alloc(PrimOpApp::new(self.arena, op, args)))
    }

    /// One level deeper; the depth before is to be set again.
    pub(crate) fn enter(&self, pos: Pos) -> Result<u32> {
        let depth = self.depth.get();
        if depth >= self.settings.max_call_depth {
            return Err(stack_overflow(pos));
        }
        self.depth.set(depth + 1);
        Ok(depth)
    }

    /// What counts as one call deeper, as it does in C++ Nix.
    #[inline]
    pub(crate) fn nested<T>(&self, pos: Pos, body: impl FnOnce() -> Result<T>) -> Result<T> {
        let depth = self.enter(pos)?;
        let result = body();
        self.depth.set(depth);
        result
    }

    fn call_primop(&self, op: &'static PrimOp, args: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
        match (op.run)(self, args, pos) {
            // A builtin may hand back one of its arguments as it is.
            Ok(value) => self.force(value, pos),
            Err(error) => {
                Err(error.at(pos).frame(pos, format!("while calling the '{}' builtin", op.name)))
            }
        }
    }

    /// Calls a function with the first of the arguments; where that gives no more than a function
    /// that is written within it, with the next ones too, and how many they were.
    fn call_lambda(
        &self,
        closure: &'a Closure<'a>,
        args: &[Value<'a>],
        pos: Pos,
    ) -> (Result<Value<'a>>, usize) {
        let (mut lambda, mut env, mut used) = (closure.lambda, closure.env, 0);
        // How many of the innermost scopes hold nothing but an argument.
        let mut plain = 0;
        let result = loop {
            let bound = self.tick(pos).and_then(|()| self.bind_arg(lambda, env, args[used], pos));
            env = match bound {
                Ok(env) => env,
                Err(error) => break Err(error),
            };
            used += 1;
            plain = if lambda.formals.is_none() { plain + 1 } else { 0 };
            match lambda.body.kind {
                ExprKind::Lambda(inner) if used < args.len() && self.graph.is_none() => {
                    lambda = inner;
                }
                _ => {
                    let result = self.eval(lambda.body, env);
                    if !lambda.keeps_frame && self.graph.is_none() {
                        self.leave(env, plain);
                    }
                    break result;
                }
            }
        };
        let result = result.map_err(|error| {
            let name = self.lambda_name(lambda);
            error.frame(pos, format!("while calling {name}"))
        });
        (result, used)
    }

    /// Nothing refers to this scope any more, nor to those around it: so many hold an argument and
    /// were made by this call.
    fn leave(&self, mut env: &'a Env<'a>, count: usize) {
        let mut free = self.free_scopes.borrow_mut();
        for _ in 0..count {
            let up = env.up();
            free.push(env);
            match up {
                Some(up) => env = up,
                None => break,
            }
        }
    }

    /// The scope of a function's body.
    fn bind_arg(
        &self,
        lambda: &'a Lambda<'a>,
        up: &'a Env<'a>,
        arg: Value<'a>,
        pos: Pos,
    ) -> Result<&'a Env<'a>> {
        let Some(formals) = lambda.formals else {
            if self.graph.is_none()
                && let Some(free) = self.free_scopes.borrow_mut().pop()
            {
                return Ok(free.renew(up, self.slot(arg)));
            }
            return Ok(self.env(Site::of(lambda), up, &[arg]));
        };
        let value = self.force(arg, pos)?;
        let Value::Attrs(attrs) = value else {
            return Err(self.wrong_type("a set", value, pos).frame(
                lambda.head,
                format!("while evaluating the argument of {}", self.lambda_name(lambda)),
            ));
        };
        if let Some(graph) = &self.graph
            && let Some(env) = self.bind_formals_again(graph, (lambda, up), value, attrs)
        {
            return Ok(env);
        }
        let env = self.empty_env(up, lambda.slots());
        if let Some(graph) = &self.graph {
            graph.new_env(Site::of(lambda), env);
        }
        let mut slots = env.slots();
        if lambda.arg.is_some() {
            slots[0].set(self.slot(value));
            slots = &slots[1..];
        }
        let mut found = 0;
        for (formal, slot) in formals.list.iter().zip(slots) {
            if let Some(attr) = attrs.get(formal.name) {
                found += 1;
                slot.set(attr.slot);
            } else if let Some(default) = formal.default {
                slot.set(self.slot(self.thunk(Delayed::Expr(default, env))));
            } else {
                return Err(self.missing_argument(lambda, formal.name, pos));
            }
        }
        if !formals.ellipsis && found != self.count(attrs) {
            return Err(self.unexpected_argument(lambda, attrs, pos));
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
