//! From expression to value: the interpreter's inner loop.

use nix_syntax::ast::{Assert, Expr, ExprKind, If, Let, With, WithVar};
use nix_syntax::{Place, Symbol};

use crate::Evaluator;
use crate::error::{Error, ErrorKind, Result};
use crate::slot::Slot;
use crate::source::{self, NO_POS, NOWHERE, Pos};
use crate::stack;
use crate::value::{Attr, Delayed, Env, List, PathValue, Str, Thunk, ThunkState, Value};
use crate::warm::{Graph, Site};

impl<'a> Evaluator<'a> {
    /// Evaluate to weak head normal form.
    #[inline]
    pub(crate) fn eval(&self, expr: &'a Expr<'a>, env: &'a Env<'a>) -> Result<Value<'a>> {
        self.eval_slot(expr, env).map(Slot::get)
    }

    /// The same, as it is kept. Most of what stands within other expressions is a variable that is
    /// evaluated already.
    #[inline(always)]
    pub(crate) fn eval_slot(&self, expr: &'a Expr<'a>, env: &'a Env<'a>) -> Result<Slot<'a>> {
        if let ExprKind::Local { level, index } = expr.kind
            && let Some(slot) = env.variable(level, index).get().evaluated()
        {
            return Ok(slot);
        }
        self.eval_node(expr, env)
    }

    /// This hands over to one function for each kind of expression and keeps nothing on the stack.
    pub(crate) fn eval_node(&self, expr: &'a Expr<'a>, env: &'a Env<'a>) -> Result<Slot<'a>> {
        if stack::address() < self.stack_limit {
            return Err(stack_overflow(expr.span));
        }
        match expr.kind {
            ExprKind::Local { level, index } => {
                let slot = env.variable(level, index).get();
                if !slot.is_made() {
                    return self.eval_unmade(env.at(level), index, expr.span);
                }
                self.force_slot(slot, &expr.span)
            }
            ExprKind::Call(call) => self.eval_call(call, env, &expr.span),
            ExprKind::Select(select) => self.eval_select(select, env, &expr.span),
            ExprKind::If(node) => self.eval_if(node, env),
            ExprKind::Str(text) => Ok(Slot::string(Str::of_literal(text))),
            ExprKind::Let(node) => self.eval_let(node, env),
            ExprKind::Attrs(set) if set.is_empty() => Ok(Slot::attrs(self.empty_set)),
            ExprKind::Attrs(set) => self.eval_attrs(set, env, &expr.span),
            ExprKind::Binary(node) => self.eval_binary(node, env, &expr.span),
            ExprKind::Lambda(lambda) => Ok(self.closure(lambda, env)),
            ExprKind::HasAttr(node) => self.eval_has_attr(node, env),
            ExprKind::Not(inner) => self.eval_not(inner, env),
            ExprKind::List(items) => self.eval_list(items, env),
            ExprKind::Global(index) => self.force_slot(self.globals.slot(index), &expr.span),
            ExprKind::With(node) => self.eval_with(node, env),
            ExprKind::Assert(node) => self.eval_assert(node, env, &expr.span),
            ExprKind::Interpolated(parts) => self.eval_interpolated(parts, env),
            _ => self.eval_rarely(expr, env),
        }
    }

    #[inline(never)]
    fn eval_if(&self, node: &'a If<'a>, env: &'a Env<'a>) -> Result<Slot<'a>> {
        let yes = self.eval_bool(node.condition, env)?;
        self.eval_slot(if yes { node.yes } else { node.no }, env)
    }

    #[inline(never)]
    fn eval_not(&self, inner: &'a Expr<'a>, env: &'a Env<'a>) -> Result<Slot<'a>> {
        Ok(Slot::bool(!self.eval_bool(inner, env)?))
    }

    #[inline(never)]
    fn eval_let(&self, node: &'a Let<'a>, env: &'a Env<'a>) -> Result<Slot<'a>> {
        let late = self.graph.is_none();
        let scope = self.bind(&node.bindings, env, true, late);
        let result = self.eval_node(node.body, scope);
        if late {
            // Until now nothing but this scope could keep the one around it for longer than that is used.
            if scope.is_kept() {
                env.keep();
            } else {
                self.retire(scope);
            }
        }
        result
    }

    #[inline(never)]
    fn eval_with(&self, node: &'a With<'a>, env: &'a Env<'a>) -> Result<Slot<'a>> {
        let namespace = self.delayed(node.namespace, env);
        env.keep();
        let env = self.env(Site::of(node), env, namespace);
        self.eval_node(node.body, env)
    }

    #[inline(never)]
    fn eval_assert(
        &self,
        node: &'a Assert<'a>,
        env: &'a Env<'a>,
        pos: &'a Pos,
    ) -> Result<Slot<'a>> {
        if !self.eval_bool(node.condition, env)? {
            return Err(self.assertion_failed(node.condition, env, *pos));
        }
        self.eval_node(node.body, env)
    }

    #[inline(never)]
    fn eval_rarely(&self, expr: &'a Expr<'a>, env: &'a Env<'a>) -> Result<Slot<'a>> {
        let value = match expr.kind {
            ExprKind::Int(value) => Value::Int(value),
            ExprKind::Float(value) => Value::Float(value),
            ExprKind::Path(path) => Value::Path(PathValue::of_literal(path)),
            ExprKind::WithVar(node) => self.eval_with_var(node, env, expr)?,
            ExprKind::Negate(inner) => self.eval_negate(inner, env, expr.span)?,
            ExprKind::InterpolatedPath(parts) => {
                self.eval_interpolated_path(parts, env, expr.span)?
            }
            ExprKind::SearchPath(search) => {
                let find = self.eval(search.find_file, env)?;
                let path = self.delay(search.nix_path, env);
                self.call(find, &[path, self.static_str(search.path)], expr.span)?
            }
            ExprKind::CurPos => self.position_value(expr.span),
            _ => return self.eval_node(expr, env),
        };
        Ok(self.slot(value))
    }

    #[inline(never)]
    fn eval_list(&self, items: &'a [&'a Expr<'a>], env: &'a Env<'a>) -> Result<Slot<'a>> {
        if items.is_empty() {
            return Ok(Slot::list(self.empty_list));
        }
        let items = items.iter().map(|item| self.delayed(item, env));
        let items: &'a [Slot<'a>] = self.arena.alloc_slice_fill_iter(items);
        Ok(Slot::list(self.arena.alloc(List::new(self.arena, items))))
    }

    /// The scope of one variable.
    #[inline]
    pub(crate) fn env(&self, site: Site, up: &'a Env<'a>, slot: Slot<'a>) -> &'a Env<'a> {
        match &self.graph {
            None => Env::of_one(self.arena, up, slot),
            Some(graph) => self.recorded_env(graph, site, up, slot),
        }
    }

    #[inline(never)]
    fn recorded_env(
        &self,
        graph: &Graph<'a>,
        site: Site,
        up: &'a Env<'a>,
        slot: Slot<'a>,
    ) -> &'a Env<'a> {
        if let Some(env) = graph.known_env(site, up, |slots| graph.same_slots(slots, &[slot.get()]))
        {
            return env;
        }
        let env = Env::of_one(self.arena, up, slot);
        graph.new_env(site, env);
        env
    }

    /// A value as it is kept.
    #[inline]
    pub(crate) fn slot(&self, value: Value<'a>) -> Slot<'a> {
        Slot::new(self.arena, value)
    }

    /// An attribute.
    #[inline]
    pub(crate) fn attr(&self, name: Symbol, place: Place, value: Value<'a>) -> Attr<'a> {
        Attr { name, place, slot: self.slot(value) }
    }

    /// Evaluate a value that may be a thunk.
    #[inline]
    pub(crate) fn force(&self, value: Value<'a>, pos: Pos) -> Result<Value<'a>> {
        match value {
            Value::Thunk(thunk) => self.force_thunk(thunk, pos),
            value => Ok(value),
        }
    }

    #[inline]
    pub(crate) fn force_thunk(&self, thunk: &'a Thunk<'a>, pos: Pos) -> Result<Value<'a>> {
        match thunk.plain_slot() {
            Some(slot) => Ok(slot.get()),
            None => self.run_thunk(thunk, &pos).map(Slot::get),
        }
    }

    /// The same, as it is kept.
    #[inline(always)]
    pub(crate) fn force_slot(&self, slot: Slot<'a>, pos: &Pos) -> Result<Slot<'a>> {
        match slot.as_thunk() {
            None => Ok(slot),
            Some(thunk) => match thunk.plain_slot() {
                Some(slot) => Ok(slot),
                None => self.run_thunk(thunk, pos),
            },
        }
    }

    /// The value of a thunk that most likely has none yet.
    #[inline(never)]
    pub(crate) fn run_thunk(&self, thunk: &'a Thunk<'a>, pos: &Pos) -> Result<Slot<'a>> {
        let Some((expr, env)) = thunk.plain_expr() else { return self.run_other(thunk, pos) };
        thunk.set_running(0);
        match self.eval_node(expr, env) {
            Ok(slot) => {
                thunk.set_done(0, slot);
                Ok(slot)
            }
            Err(error) => Err(self.failed(thunk, Delayed::Expr(expr, env), error)),
        }
    }

    #[inline(never)]
    fn run_other(&self, thunk: &'a Thunk<'a>, pos: &Pos) -> Result<Slot<'a>> {
        let delayed = match thunk.get() {
            ThunkState::Done(0, value) => return Ok(self.slot(value)),
            ThunkState::Blackhole(0) => return Err(infinite_recursion(*pos)),
            ThunkState::Delayed(0, delayed) => delayed,
            ThunkState::Failed(error) => return Err(self.failures.borrow()[error].clone()),
            recorded => {
                let value = self.force_recorded(thunk, recorded.node(), *pos)?;
                return Ok(self.slot(value));
            }
        };
        if !delayed.is_application() {
            thunk.set_running(0);
        }
        match self.compute(delayed, *pos) {
            Ok(slot) => {
                thunk.set_done(0, slot);
                Ok(slot)
            }
            Err(error) => Err(self.failed(thunk, delayed, error)),
        }
    }

    /// A thunk failed: it is not run again, as in C++ Nix, unless it may come to a value then.
    #[cold]
    #[inline(never)]
    pub(crate) fn failed(&self, thunk: &'a Thunk<'a>, delayed: Delayed<'a>, error: Error) -> Error {
        if error.lasts() {
            let mut failures = self.failures.borrow_mut();
            thunk.set_failed(failures.len());
            failures.push(error.clone());
        } else {
            thunk.set_delayed(0, delayed);
        }
        error
    }

    /// What a thunk computes, evaluated.
    #[inline]
    pub(crate) fn compute(&self, delayed: Delayed<'a>, pos: Pos) -> Result<Slot<'a>> {
        match delayed {
            Delayed::Expr(expr, env) => self.eval_node(expr, env),
            Delayed::Select(from, attr) => {
                self.check_stack(pos)?;
                let place = source::at(attr.place);
                let attrs = self.force_attrs(from.get(), place)?;
                self.select_slot(attrs, attr.name, place)
            }
            Delayed::Apply(fun, arg) => {
                self.check_stack(pos)?;
                self.call_slots(*fun, &[*arg], &NOWHERE)
            }
            Delayed::ApplyAttr(fun, attr) => {
                self.check_stack(pos)?;
                let name = self.slot(self.symbol_string(attr.name));
                self.call_slots(*fun, &[name, attr.slot], &NOWHERE)
            }
            Delayed::Native(native) => {
                self.check_stack(pos)?;
                let value = (native.run)(self, native.args, NO_POS)?;
                self.force_slot(self.slot(value), &pos)
            }
        }
    }

    #[inline]
    pub(crate) fn check_stack(&self, pos: Pos) -> Result<()> {
        if stack::address() < self.stack_limit {
            return Err(stack_overflow(pos));
        }
        Ok(())
    }

    #[inline(always)]
    pub(crate) fn eval_bool(&self, expr: &'a Expr<'a>, env: &'a Env<'a>) -> Result<bool> {
        let slot = self.eval_slot(expr, env)?;
        match slot.as_bool() {
            Some(value) => Ok(value),
            None => Err(self.not_a_bool(slot, expr)),
        }
    }

    #[cold]
    #[inline(never)]
    fn not_a_bool(&self, slot: Slot<'a>, expr: &'a Expr<'a>) -> Error {
        self.wrong_type("a Boolean", slot.get(), expr.span)
    }

    #[inline(never)]
    fn eval_with_var(
        &self,
        node: &'a WithVar<'a>,
        env: &'a Env<'a>,
        expr: &'a Expr<'a>,
    ) -> Result<Value<'a>> {
        let name = node.name;
        for level in node.withs {
            let slot = &env.at(*level).slots()[0];
            let namespace = self.force(slot.get().get(), expr.span)?;
            let Value::Attrs(attrs) = namespace else {
                return Err(self.wrong_type("a set", namespace, expr.span).frame(
                    expr.span,
                    format!("while looking for '{}' in a 'with'", self.name(name)),
                ));
            };
            if self.graph.is_none() {
                slot.set(self.slot(namespace));
            }
            if let Some(value) = attrs.value(name) {
                return self.force(value, expr.span);
            }
        }
        let message = format!("undefined variable '{}'", self.written_name(name));
        Err(Error::new(ErrorKind::UndefinedVar, message, expr.span))
    }
}

#[cold]
pub(crate) fn infinite_recursion(pos: Pos) -> Error {
    Error::new(ErrorKind::InfiniteRecursion, "infinite recursion encountered", pos)
}

#[cold]
pub(crate) fn stack_overflow(pos: Pos) -> Error {
    Error::new(ErrorKind::StackOverflow, "stack overflow; max-call-depth exceeded", pos)
}
