//! From expression to value: the interpreter's inner loop.

use nix_syntax::ast::{AttrName, AttrSet, AttrValue, Expr, ExprKind, HasAttr, Select};
use nix_syntax::{Place, Symbol, written_name};

use crate::Evaluator;
use crate::context::Ctx;
use crate::error::{Error, ErrorKind, Result};
use crate::slot::Slot;
use crate::source::{self, NO_POS, Pos};
use crate::stack;
use crate::sym;
use crate::value::{
    Attr, Attrs, Closure, Delayed, Env, List, PathValue, Str, Thunk, ThunkState, Value,
};
use crate::warm::Site;

impl<'a> Evaluator<'a> {
    /// Evaluate to weak head normal form.
    pub(crate) fn eval(&self, mut expr: &'a Expr<'a>, mut env: &'a Env<'a>) -> Result<Value<'a>> {
        self.check_stack(expr.span)?;
        loop {
            return match expr.kind {
                ExprKind::Int(value) => Ok(Value::Int(value)),
                ExprKind::Float(value) => Ok(Value::Float(value)),
                ExprKind::Str(text) => Ok(Value::String(Str::of_literal(text))),
                ExprKind::Path(path) => Ok(Value::Path(PathValue::of_literal(path))),
                ExprKind::Local { level, index } => {
                    match env.at(level).slots()[index as usize].get().get() {
                        Value::Thunk(thunk) => match thunk.plain_value() {
                            Some(value) => Ok(value),
                            None => self.force_thunk(thunk, expr.span),
                        },
                        Value::Hole => Err(infinite_recursion(expr.span)),
                        value => Ok(value),
                    }
                }
                ExprKind::Global(index) => self.force(self.globals.value(index), expr.span),
                ExprKind::WithVar { name, withs } => self.eval_with_var(name, withs, env, expr),
                ExprKind::Select(select) => self.eval_select(select, env, expr.span),
                ExprKind::Call(call) => self.eval_call(call, env, expr.span),
                ExprKind::Lambda(lambda) => {
                    Ok(Value::Lambda(self.arena.alloc(Closure { lambda, env })))
                }
                ExprKind::If(node) => {
                    let yes = self.eval_bool(node.condition, env)?;
                    expr = if yes { node.yes } else { node.no };
                    continue;
                }
                ExprKind::Let(node) => {
                    env = self.bind(&node.bindings, env, true);
                    expr = node.body;
                    continue;
                }
                ExprKind::With(node) => {
                    let namespace = self.delay(node.namespace, env);
                    env = self.env(Site::of(node), env, &[namespace]);
                    expr = node.body;
                    continue;
                }
                ExprKind::Assert(node) => {
                    if !self.eval_bool(node.condition, env)? {
                        return Err(self.assertion_failed(node.condition, env, expr.span));
                    }
                    expr = node.body;
                    continue;
                }
                ExprKind::Attrs(set) if set.is_empty() => Ok(Value::Attrs(self.empty_set)),
                ExprKind::Attrs(set) => self.eval_attrs(set, env, expr.span),
                ExprKind::List(items) => {
                    let items = self.arena.alloc_slice_fill_iter(
                        items.iter().map(|item| self.slot(self.delay(item, env))),
                    );
                    Ok(self.list_of_slots(items))
                }
                ExprKind::HasAttr(node) => self.eval_has_attr(node, env).map(Value::Bool),
                ExprKind::Not(inner) => Ok(Value::Bool(!self.eval_bool(inner, env)?)),
                ExprKind::Negate(inner) => self.eval_negate(inner, env, expr.span),
                ExprKind::Binary(node) => self.eval_binary(node, env, expr.span),
                ExprKind::Interpolated(parts) => self.eval_interpolated(parts, env),
                ExprKind::InterpolatedPath(parts) => {
                    self.eval_interpolated_path(parts, env, expr.span)
                }
                ExprKind::SearchPath(search) => {
                    let find = self.eval(search.find_file, env)?;
                    let path = self.delay(search.nix_path, env);
                    self.call(find, &[path, self.static_str(search.path)], expr.span)
                }
                ExprKind::CurPos => Ok(self.position_value(expr.span)),
            };
        }
    }

    pub(crate) fn env(&self, site: Site, up: &'a Env<'a>, values: &[Value<'a>]) -> &'a Env<'a> {
        if let Some(graph) = &self.graph
            && let Some(env) = graph.known_env(site, up, |slots| graph.same_slots(slots, values))
        {
            return env;
        }
        let slots = values.iter().map(|value| self.slot(*value));
        let env = Env::new(self.arena, Some(up), slots);
        if let Some(graph) = &self.graph {
            graph.new_env(site, env);
        }
        env
    }

    pub(crate) fn empty_env(&self, up: &'a Env<'a>, count: usize) -> &'a Env<'a> {
        Env::new(self.arena, Some(up), std::iter::repeat_n(Slot::HOLE, count))
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

    pub(crate) fn force_thunk(&self, thunk: &'a Thunk<'a>, pos: Pos) -> Result<Value<'a>> {
        let delayed = match thunk.get() {
            ThunkState::Done(0, value) => return Ok(value),
            ThunkState::Blackhole(0) => return Err(infinite_recursion(pos)),
            ThunkState::Delayed(0, delayed) => delayed,
            recorded => return self.force_recorded(thunk, recorded.node(), pos),
        };
        if !delayed.is_application() {
            thunk.set_running(0);
        }
        let result = self.compute(delayed, pos);
        // A failed thunk may be asked again, and must fail the same way again.
        match &result {
            Ok(value) => thunk.set_done(0, self.slot(*value)),
            Err(_) => thunk.set_delayed(0, delayed),
        }
        result
    }

    /// What a thunk computes, evaluated.
    #[inline]
    pub(crate) fn compute(&self, delayed: Delayed<'a>, pos: Pos) -> Result<Value<'a>> {
        match delayed {
            Delayed::Expr(expr, env) => self.eval(expr, env),
            Delayed::Select(from, attr) => {
                self.check_stack(pos)?;
                let place = source::at(attr.place);
                let attrs = self.force_attrs(from.get(), place)?;
                self.select(attrs, attr.name, place)
            }
            Delayed::Apply(fun, arg) => {
                self.check_stack(pos)?;
                self.call_one(fun.get(), arg.get(), NO_POS)
            }
            Delayed::ApplyAttr(fun, attr) => {
                self.check_stack(pos)?;
                self.call(fun.get(), &[self.symbol_string(attr.name), attr.value()], NO_POS)
            }
            Delayed::Native(native) => {
                self.check_stack(pos)?;
                (native.run)(self, native.args, NO_POS).and_then(|value| self.force(value, pos))
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

    pub(crate) fn eval_bool(&self, expr: &'a Expr<'a>, env: &'a Env<'a>) -> Result<bool> {
        match self.eval(expr, env)? {
            Value::Bool(value) => Ok(value),
            other => Err(self.wrong_type("a Boolean", other, expr.span)),
        }
    }

    /// The scope of a `let` or `rec`.
    fn bind(&self, set: &'a AttrSet<'a>, outer: &'a Env<'a>, fixed: bool) -> &'a Env<'a> {
        if fixed
            && let Some(graph) = &self.graph
            && let Some(env) = self.bind_again(graph, set, outer)
        {
            return env;
        }
        let env = self.empty_env(outer, set.attrs.len());
        if fixed && let Some(graph) = &self.graph {
            graph.new_env(Site::of(set), env);
        }
        let sources = self.sources_of(set, env);
        for (attr, slot) in set.attrs.iter().zip(env.slots()) {
            slot.set(self.slot(match attr.value {
                AttrValue::Plain(expr) if fixed => self.delay_bound(expr, env),
                // What a variable stands for may still change.
                AttrValue::Plain(expr) => self.thunk(Delayed::Expr(expr, env)),
                AttrValue::Inherited(expr) => self.delay(expr, outer),
                AttrValue::From(index) => self.inherited(&sources[index as usize], attr),
            }));
        }
        env
    }

    pub(crate) fn sources_of(&self, set: &AttrSet<'a>, env: &'a Env<'a>) -> &'a [Slot<'a>] {
        if set.sources.is_empty() {
            return &[];
        }
        let sources = set.sources.iter().map(|expr| self.slot(self.delay(expr, env)));
        self.arena.alloc_slice_fill_iter(sources)
    }

    fn eval_attrs(&self, set: &'a AttrSet<'a>, outer: &'a Env<'a>, pos: Pos) -> Result<Value<'a>> {
        let env;
        let entries: &'a mut [Attr<'a>] =
            if set.recursive {
                let fixed = !set.attrs.iter().any(|attr| attr.name == sym::OVERRIDES);
                env = self.bind(set, outer, fixed);
                self.arena.alloc_slice_fill_iter(set.attrs.iter().zip(env.slots()).map(
                    |(attr, slot)| Attr { name: attr.name, place: attr.place, slot: slot.get() },
                ))
            } else {
                env = outer;
                let sources = self.sources_of(set, outer);
                self.arena.alloc_slice_fill_iter(set.attrs.iter().map(|attr| {
                    let value = match attr.value {
                        AttrValue::Plain(expr) => self.delay_bound(expr, outer),
                        AttrValue::Inherited(expr) => self.delay(expr, outer),
                        AttrValue::From(index) => self.inherited(&sources[index as usize], attr),
                    };
                    self.attr(attr.name, attr.place, value)
                }))
            };
        let mut attrs: &'a Attrs<'a> = Attrs::new(self.arena, entries);
        if set.recursive
            && let Some(overrides) = attrs.value(sym::OVERRIDES)
        {
            let overrides = self.force_attrs(overrides, pos)?;
            attrs = self.update(attrs, overrides);
            for (attr, slot) in set.attrs.iter().zip(env.slots()) {
                if let Some(value) = overrides.value(attr.name) {
                    slot.set(self.slot(value));
                }
            }
        }
        if set.dynamic.is_empty() {
            return Ok(Value::Attrs(attrs));
        }
        // What is made on the way is not in the arena: names are evaluated in between.
        let mut entries = Vec::with_capacity(self.entries(attrs).len() + set.dynamic.len());
        entries.extend_from_slice(self.entries(attrs));
        for attr in set.dynamic {
            let name = match self.eval(attr.name, env)? {
                Value::Null => continue,
                name => self.force_name(name, attr.name.span)?,
            };
            match entries.binary_search_by_key(&name, |entry| entry.name) {
                Ok(at) => {
                    let text = self.written_name(name);
                    let place = self.place(entries[at].pos());
                    let message = format!("dynamic attribute '{text}' already defined at {place}");
                    return Err(Error::eval(message, source::at(attr.place)));
                }
                Err(at) => entries
                    .insert(at, self.attr(name, attr.place, self.delay_bound(attr.value, env))),
            }
        }
        let entries = self.arena.alloc_slice_copy(&entries);
        Ok(Value::Attrs(Attrs::new(self.arena, entries)))
    }

    fn eval_with_var(
        &self,
        name: Symbol,
        withs: &'a [u32],
        env: &'a Env<'a>,
        expr: &'a Expr<'a>,
    ) -> Result<Value<'a>> {
        for level in withs {
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

    fn eval_name(&self, name: &AttrName<'a>, env: &'a Env<'a>) -> Result<Symbol> {
        match name {
            AttrName::Static(name) => Ok(*name),
            AttrName::Dynamic(expr) => self.force_name(self.eval(expr, env)?, expr.span),
        }
    }

    fn eval_select(&self, node: &'a Select<'a>, env: &'a Env<'a>, pos: Pos) -> Result<Value<'a>> {
        let mut value = self.eval(node.subject, env)?;
        let mut at = node.subject.span;
        for (index, name) in node.path.iter().enumerate() {
            // The name comes first: it may fail before what it is looked up in does.
            let name = self.eval_name(name, env)?;
            value = self.selected(value, at, node, index, pos)?;
            let attr = match value {
                Value::Attrs(attrs) => match attrs.get(name) {
                    Some(attr) => attr,
                    None => match node.default {
                        Some(default) => return self.eval(default, env),
                        None => return Err(self.missing_attr(attrs, name, pos)),
                    },
                },
                other => match node.default {
                    Some(default) => return self.eval(default, env),
                    None => return Err(self.wrong_type("a set", other, node.subject.span)),
                },
            };
            (value, at) = (attr.value(), attr.pos());
        }
        self.selected(value, at, node, node.path.len(), pos)
    }

    /// What the first `count` names of a path select, evaluated.
    #[inline]
    fn selected(
        &self,
        value: Value<'a>,
        at: Pos,
        node: &'a Select<'a>,
        count: usize,
        pos: Pos,
    ) -> Result<Value<'a>> {
        let Value::Thunk(thunk) = value else { return Ok(value) };
        match thunk.plain_value() {
            Some(value) => Ok(value),
            None => self.force_thunk(thunk, pos).map_err(|error| {
                let path = self.path_text(&node.path[..count]);
                error.frame(at, format!("while evaluating the attribute '{path}'"))
            }),
        }
    }

    #[cold]
    fn path_text(&self, path: &[AttrName<'a>]) -> String {
        let names: Vec<String> = path
            .iter()
            .map(|name| match name {
                AttrName::Static(name) => self.written_name(*name),
                AttrName::Dynamic(_) => "${…}".to_owned(),
            })
            .collect();
        names.join(".")
    }

    fn eval_has_attr(&self, node: &'a HasAttr<'a>, env: &'a Env<'a>) -> Result<bool> {
        let mut value = self.eval(node.subject, env)?;
        for (index, name) in node.path.iter().enumerate() {
            let name = self.eval_name(name, env)?;
            let Value::Attrs(attrs) = value else { return Ok(false) };
            let Some(attr) = attrs.get(name) else { return Ok(false) };
            if index + 1 < node.path.len() {
                value = self.force(attr.value(), attr.pos())?;
            }
        }
        Ok(true)
    }

    /// The attribute `name`, evaluated.
    pub(crate) fn select(&self, attrs: &'a Attrs<'a>, name: Symbol, pos: Pos) -> Result<Value<'a>> {
        match attrs.get(name) {
            Some(attr) => self.force(attr.value(), pos).map_err(|error| {
                let text = format!("while evaluating the attribute '{}'", self.written_name(name));
                error.frame(attr.pos(), text)
            }),
            None => Err(self.missing_attr(attrs, name, pos)),
        }
    }

    pub(crate) fn static_str(&self, bytes: &'a [u8]) -> Value<'a> {
        Value::String(self.arena.alloc(Str { bytes, ctx: Ctx::NONE }))
    }

    pub(crate) fn static_path(&self, bytes: &'a [u8]) -> Value<'a> {
        Value::Path(self.arena.alloc(PathValue { bytes }))
    }

    /// A string value of these bytes.
    pub fn string(&self, bytes: impl AsRef<[u8]>) -> Value<'a> {
        self.string_with(bytes.as_ref(), Ctx::NONE)
    }

    pub(crate) fn string_with(&self, bytes: &[u8], ctx: Ctx) -> Value<'a> {
        let bytes = self.arena.alloc_slice_copy(bytes);
        Value::String(self.arena.alloc(Str { bytes, ctx }))
    }

    pub(crate) fn path_value(&self, bytes: &[u8]) -> Value<'a> {
        self.static_path(self.arena.alloc_slice_copy(bytes))
    }

    pub(crate) fn list_from(&self, items: &[Value<'a>]) -> Value<'a> {
        self.list_of(items.iter().copied())
    }

    /// A list of these values.
    pub(crate) fn list_of(&self, items: impl ExactSizeIterator<Item = Value<'a>>) -> Value<'a> {
        self.list_of_slots(self.arena.alloc_slice_fill_iter(items.map(|item| self.slot(item))))
    }

    pub(crate) fn list_of_slots(&self, items: &'a [Slot<'a>]) -> Value<'a> {
        match items {
            [] => Value::List(self.empty_list),
            items => Value::List(self.arena.alloc(List::new(self.arena, items))),
        }
    }

    /// A set of attributes in any order; of two with the same name the last one stays.
    pub(crate) fn attrs_from(&self, mut entries: Vec<Attr<'a>>) -> Value<'a> {
        entries.sort_by_key(|attr| attr.name);
        entries.dedup_by(|later, earlier| {
            let same = later.name == earlier.name;
            if same {
                *earlier = *later;
            }
            same
        });
        let entries = self.arena.alloc_slice_copy(&entries);
        Value::Attrs(Attrs::new(self.arena, entries))
    }

    pub(crate) fn attrs_of<const N: usize>(&self, entries: [(Symbol, Value<'a>); N]) -> Value<'a> {
        self.attrs_from(
            entries.iter().map(|(name, value)| self.attr(*name, Place::NONE, *value)).collect(),
        )
    }

    pub(crate) fn name(&self, name: Symbol) -> String {
        String::from_utf8_lossy(self.symbols.name(name)).into_owned()
    }

    /// A name for messages: in quotation marks where it needs them.
    pub(crate) fn written_name(&self, name: Symbol) -> String {
        written_name(self.symbols.name(name))
    }

    /// The string value of a symbol, made once.
    pub(crate) fn symbol_string(&self, name: Symbol) -> Value<'a> {
        let mut strings = self.symbol_strings.borrow_mut();
        let index = name.0 as usize;
        if index >= strings.len() {
            strings.resize(self.symbols.len().max(index + 1), None);
        }
        let string = *strings[index].get_or_insert_with(|| {
            self.arena.alloc(Str { bytes: self.symbols.name(name), ctx: Ctx::NONE })
        });
        Value::String(string)
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
