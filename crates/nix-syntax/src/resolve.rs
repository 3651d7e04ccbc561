//! The raw tree to the final one: every name becomes a slot, a global, or a question to the enclosing `with`s.

use std::cell::Cell;
use std::collections::HashMap;

use bumpalo::Bump;
use rustc_hash::FxBuildHasher;

use crate::Options;
use crate::ast::*;
use crate::frames::lending;
use crate::name::written_name;
use crate::parser::too_deep;
use crate::raw::{
    self, Kind, Name, NodeId, Part, PathName, Raw, RawAttr, RawSet, Run, SetId, Value,
};
use crate::report::Report;
use crate::source::{Place, Sources, Span};
use crate::suggest;
use crate::symbol::{Symbol, Symbols};

/// The evaluation would be long over before a reader got through more.
const MAX_ERRORS: usize = 20;
const NONE: u32 = u32::MAX;

/// A variable in scope; `previous` is the one of the same name that it hides.
struct Binding {
    name: Name,
    previous: u32,
    frame: u32,
    slot: u32,
}

pub(crate) struct Resolver<'r, 's, 'a> {
    raw: &'r Raw<'s, 'a>,
    arena: &'a Bump,
    symbols: &'r Symbols<'a>,
    sources: &'r Sources,
    options: &'r Options<'r>,
    /// Where the text begins, as spans count.
    base: u32,
    /// Symbols of the names of this file.
    names: Vec<Symbol>,
    /// The innermost binding of each name.
    heads: Vec<u32>,
    bindings: Vec<Binding>,
    /// How many frames there are; the innermost has this number.
    frames: u32,
    /// Frame numbers of the enclosing `with`s, outermost first.
    withs: Vec<u32>,
    /// The levels last handed out, with the frame count and the `with`s they are for.
    levels: Option<(u32, usize, u32, &'a [u32])>,
    depth: u32,
    pub(crate) errors: Vec<Report>,
}

impl<'r, 's, 'a> Resolver<'r, 's, 'a> {
    pub(crate) fn new(
        raw: &'r Raw<'s, 'a>,
        arena: &'a Bump,
        symbols: &'r Symbols<'a>,
        sources: &'r Sources,
        options: &'r Options<'r>,
        base: u32,
    ) -> Self {
        let names: Vec<Symbol> = raw.names.iter().map(|name| symbols.intern(name)).collect();
        let mut resolver = Self {
            raw,
            arena,
            symbols,
            sources,
            options,
            base,
            heads: vec![NONE; names.len()],
            names,
            bindings: Vec::new(),
            frames: 0,
            withs: Vec::new(),
            levels: None,
            depth: 0,
            errors: Vec::new(),
        };
        if let Some(outer) = options.outer {
            resolver.frames = 1;
            let slots: HashMap<Symbol, u32, FxBuildHasher> =
                outer.iter().enumerate().map(|(slot, symbol)| (*symbol, slot as u32)).collect();
            for name in 0..resolver.names.len() {
                if let Some(slot) = slots.get(&resolver.names[name]) {
                    resolver.bind(name as Name, *slot);
                }
            }
        }
        resolver
    }

    fn span(&self, start: u32, end: u32) -> Span {
        Span { start: self.base + start, end: self.base + end }
    }

    fn place(&self, start: u32, end: u32) -> Place {
        self.sources.place(self.span(start, end))
    }

    fn error(&mut self, report: Report) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(report);
        }
    }

    fn bind(&mut self, name: Name, slot: u32) {
        let previous = self.heads[name as usize];
        self.heads[name as usize] = self.bindings.len() as u32;
        self.bindings.push(Binding { name, previous, frame: self.frames, slot });
    }

    fn unbind(&mut self, to: usize) {
        for binding in self.bindings.drain(to..).rev() {
            self.heads[binding.name as usize] = binding.previous;
        }
    }

    fn is_local(&self, name: Name) -> bool {
        self.heads[name as usize] != NONE
    }

    fn variable(&mut self, name: Name, start: u32, end: u32) -> ExprKind<'a> {
        let head = self.heads[name as usize];
        if head != NONE {
            let binding = &self.bindings[head as usize];
            return ExprKind::Local { level: self.frames - binding.frame, index: binding.slot };
        }
        let symbol = self.names[name as usize];
        if let Some(index) = self.options.globals.get(symbol) {
            return ExprKind::Global(index);
        }
        if !self.withs.is_empty() {
            let withs = self.with_levels();
            return ExprKind::WithVar(self.arena.alloc(WithVar { name: symbol, withs }));
        }
        let shown = written_name(self.raw.names[name as usize]);
        let mut report =
            Report::new(format!("undefined variable '{shown}'"), self.span(start, end));
        let visible = self.bindings.iter().map(|b| self.raw.names[b.name as usize]);
        let globals = self.options.globals.symbols().map(|s| self.symbols.name(s));
        let outer = self.options.outer.unwrap_or_default().iter().map(|s| self.symbols.name(*s));
        if let Some(near) =
            suggest::nearest(self.raw.names[name as usize], visible.chain(outer).chain(globals))
        {
            report = report.help(format!("did you mean `{}`?", String::from_utf8_lossy(near)));
        }
        self.error(report);
        ExprKind::Int(0)
    }

    fn with_levels(&mut self) -> &'a [u32] {
        let key = (self.frames, self.withs.len(), self.withs.last().copied().unwrap_or(0));
        if let Some((frames, count, last, levels)) = self.levels
            && (frames, count, last) == key
        {
            return levels;
        }
        let frames = self.frames;
        let levels =
            &*self.arena.alloc_slice_fill_iter(self.withs.iter().rev().map(|frame| frames - frame));
        self.levels = Some((key.0, key.1, key.2, levels));
        levels
    }

    fn literal(&self, bytes: &'a [u8]) -> &'a Literal<'a> {
        self.arena.alloc(Literal { bytes, context: 0, symbol: Cell::new(0) })
    }

    fn alloc(&self, kind: ExprKind<'a>, start: u32, end: u32) -> &'a Expr<'a> {
        self.spanning(kind, self.span(start, end))
    }

    fn spanning(&self, kind: ExprKind<'a>, span: Span) -> &'a Expr<'a> {
        self.arena.alloc(Expr { kind, span })
    }

    fn all(&mut self, run: Run) -> &'a [&'a Expr<'a>] {
        let raw = self.raw;
        self.nodes(run.of(&raw.lists))
    }

    fn nodes(&mut self, nodes: &[NodeId]) -> &'a [&'a Expr<'a>] {
        let mut all = Vec::with_capacity(nodes.len());
        for node in nodes {
            all.push(self.expr(*node));
        }
        self.arena.alloc_slice_copy(&all)
    }

    fn parts(&mut self, run: Run) -> &'a &'a [StrPart<'a>] {
        let raw = self.raw;
        let parts = run.of(&raw.parts);
        let parts = self.arena.alloc_slice_fill_iter(parts.iter().map(|part| match part {
            Part::Text(text) => StrPart::Text(text),
            Part::Expr(node) => StrPart::Expr(self.expr(*node)),
        }));
        self.arena.alloc(&*parts)
    }

    fn path(&mut self, run: Run) -> &'a [AttrName<'a>] {
        let raw = self.raw;
        let names = run.of(&raw.paths);
        self.arena.alloc_slice_fill_iter(names.iter().map(|name| match name {
            PathName::Static(name) => AttrName::Static(self.names[*name as usize]),
            PathName::Dynamic(node) => AttrName::Dynamic(self.expr(*node)),
        }))
    }

    /// The expression of a node.
    pub(crate) fn expr(&mut self, node: NodeId) -> &'a Expr<'a> {
        self.named(node, None)
    }

    fn named(&mut self, node: NodeId, name: Option<Symbol>) -> &'a Expr<'a> {
        let raw::Node { kind, start, end } = self.raw.nodes[node as usize];
        if self.depth >= self.options.max_depth {
            // The parser stops at the same depth, but long chains of `?` and attribute paths get past it.
            if self.errors.is_empty() {
                self.error(Report::new(too_deep(self.options.max_depth), self.span(start, end)));
            }
            return self.alloc(ExprKind::Int(0), start, end);
        }
        self.depth += 1;
        let kind = self.kind(kind, name, start, end);
        self.depth -= 1;
        self.alloc(kind, start, end)
    }

    /// Only hands on: this frame is on the stack once per level, so it must stay small in unoptimised builds, too.
    fn kind(&mut self, kind: Kind<'a>, name: Option<Symbol>, start: u32, end: u32) -> ExprKind<'a> {
        match kind {
            Kind::Int(value) => ExprKind::Int(value),
            Kind::Float(value) => ExprKind::Float(value),
            Kind::Str(text) => ExprKind::Str(self.literal(text)),
            Kind::Path(path) => ExprKind::Path(self.literal(path)),
            Kind::CurPos => ExprKind::CurPos,
            Kind::Var(name) => self.variable(name, start, end),
            Kind::SearchPath(path) => self.search_path(path, start, end),
            Kind::Interpolated(parts) => ExprKind::Interpolated(self.parts(parts)),
            Kind::InterpolatedPath(parts) => ExprKind::InterpolatedPath(self.parts(parts)),
            Kind::List(run) => ExprKind::List(self.arena.alloc(self.all(run))),
            Kind::Set(set) => self.set(set),
            Kind::Let(set, body) => self.let_in(set, body),
            Kind::Lambda(id) => self.lambda(id, name, start),
            Kind::Call(function, args) => self.call(function, args),
            Kind::Select(subject, path, default) => self.select(subject, path, default),
            Kind::HasAttr(subject, path) => self.has_attr(subject, path),
            Kind::If(condition, yes, no) => self.choice(condition, yes, no),
            Kind::With(namespace, body) => self.with(namespace, body),
            Kind::Assert(condition, body) => self.assertion(condition, body),
            Kind::Not(operand) => ExprKind::Not(self.expr(operand)),
            Kind::Negate(operand) => self.negation(operand, start),
            Kind::Binary { .. } => self.binary(kind),
        }
    }

    fn search_path(&mut self, path: &'a [u8], start: u32, end: u32) -> ExprKind<'a> {
        let find_file = self.variable(raw::FIND_FILE, start, end);
        let nix_path = self.variable(raw::NIX_PATH, start, end);
        let find_file = self.alloc(find_file, start, end);
        let nix_path = self.alloc(nix_path, start, end);
        ExprKind::SearchPath(self.arena.alloc(SearchPath { find_file, nix_path, path }))
    }

    fn call(&mut self, function: NodeId, args: Run) -> ExprKind<'a> {
        let function = self.expr(function);
        let args = self.all(args);
        ExprKind::Call(self.arena.alloc(Call { function, args }))
    }

    fn select(&mut self, subject: NodeId, path: Run, default: Option<NodeId>) -> ExprKind<'a> {
        let subject = self.expr(subject);
        let default = default.map(|default| self.expr(default));
        let path = self.path(path);
        ExprKind::Select(self.arena.alloc(Select { subject, path, default }))
    }

    fn has_attr(&mut self, subject: NodeId, path: Run) -> ExprKind<'a> {
        let subject = self.expr(subject);
        let path = self.path(path);
        ExprKind::HasAttr(self.arena.alloc(HasAttr { subject, path }))
    }

    fn choice(&mut self, condition: NodeId, yes: NodeId, no: NodeId) -> ExprKind<'a> {
        let condition = self.expr(condition);
        let yes = self.expr(yes);
        let no = self.expr(no);
        ExprKind::If(self.arena.alloc(If { condition, yes, no }))
    }

    fn with(&mut self, namespace: NodeId, body: NodeId) -> ExprKind<'a> {
        let namespace = self.expr(namespace);
        self.frames += 1;
        self.withs.push(self.frames);
        self.levels = None;
        let body = self.expr(body);
        self.withs.pop();
        self.levels = None;
        self.frames -= 1;
        ExprKind::With(self.arena.alloc(With { namespace, body }))
    }

    fn assertion(&mut self, condition: NodeId, body: NodeId) -> ExprKind<'a> {
        let condition = self.expr(condition);
        let body = self.expr(body);
        ExprKind::Assert(self.arena.alloc(Assert { condition, body }))
    }

    fn negation(&mut self, operand: NodeId, start: u32) -> ExprKind<'a> {
        let operand = self.expr(operand);
        if self.is_local(raw::SUB) {
            let zero = self.alloc(ExprKind::Int(0), start, start + 1);
            return self.operator_call(raw::SUB, zero, operand, start);
        }
        ExprKind::Negate(operand)
    }

    /// Operators that lean left make long chains, which are walked without recursion.
    fn binary(&mut self, mut kind: Kind<'a>) -> ExprKind<'a> {
        let mut spine = Vec::new();
        let leftmost = loop {
            let Kind::Binary { op, left, right, at } = kind else { return ExprKind::Int(0) };
            spine.push((op, right, at));
            let node = &self.raw.nodes[left as usize];
            match node.kind {
                Kind::Binary { .. } => kind = node.kind,
                _ => break left,
            }
        };
        let mut left = self.expr(leftmost);
        let mut result = left.kind;
        for (i, (op, right, at)) in spine.iter().rev().enumerate() {
            if i > 0 {
                let end = self.raw.nodes[spine[spine.len() - i].1 as usize].end;
                left = self.alloc(result, left.span.start - self.base, end);
            }
            let right = self.expr(*right);
            result = self.operation(*op, left, right, *at);
        }
        result
    }

    fn operation(
        &mut self,
        op: BinaryOp,
        left: &'a Expr<'a>,
        right: &'a Expr<'a>,
        at: u32,
    ) -> ExprKind<'a> {
        let (function, swap, negate) = match op {
            BinaryOp::Subtract => (raw::SUB, false, false),
            BinaryOp::Multiply => (raw::MUL, false, false),
            BinaryOp::Divide => (raw::DIV, false, false),
            BinaryOp::Less => (raw::LESS_THAN, false, false),
            BinaryOp::Greater => (raw::LESS_THAN, true, false),
            BinaryOp::LessOrEqual => (raw::LESS_THAN, true, true),
            BinaryOp::GreaterOrEqual => (raw::LESS_THAN, false, true),
            _ => (NONE, false, false),
        };
        if function != NONE && self.is_local(function) {
            let (a, b) = if swap { (right, left) } else { (left, right) };
            let call = self.operator_call(function, a, b, at);
            if negate {
                return ExprKind::Not(self.spanning(call, left.span.to(right.span)));
            }
            return call;
        }
        let len = match op {
            BinaryOp::Less | BinaryOp::Greater => 1,
            BinaryOp::Add | BinaryOp::Subtract | BinaryOp::Multiply | BinaryOp::Divide => 1,
            _ => 2,
        };
        let op_span = self.span(at, at + len);
        ExprKind::Binary(self.arena.alloc(Binary { op, left, right, op_span }))
    }

    /// A file that binds `__sub` and the like means its own by the operator.
    fn operator_call(
        &mut self,
        function: Name,
        a: &'a Expr<'a>,
        b: &'a Expr<'a>,
        at: u32,
    ) -> ExprKind<'a> {
        let function = self.variable(function, at, at + 1);
        let function = self.alloc(function, at, at + 1);
        ExprKind::Call(
            self.arena.alloc(Call { function, args: self.arena.alloc_slice_copy(&[a, b]) }),
        )
    }

    fn let_in(&mut self, set: SetId, body: NodeId) -> ExprKind<'a> {
        let mark = self.bindings.len();
        let bindings = self.bindings_of(set);
        let body = self.expr(body);
        self.unbind(mark);
        self.frames -= 1;
        ExprKind::Let(self.arena.alloc(Let { bindings, body }))
    }

    fn set(&mut self, set: SetId) -> ExprKind<'a> {
        let mark = self.bindings.len();
        let recursive = self.raw.sets[set as usize].recursive;
        let attrs = self.bindings_of(set);
        if recursive {
            self.unbind(mark);
            self.frames -= 1;
        }
        ExprKind::Attrs(self.arena.alloc(attrs))
    }

    /// The attributes of a set; when it is recursive its frame and its names are left in place for the caller.
    fn bindings_of(&mut self, set: SetId) -> AttrSet<'a> {
        let raw = self.raw;
        let set = &raw.sets[set as usize];
        let (mut attrs, values) = self.heads_of(set);
        let sources = self.nodes(&set.sources);
        for (at, node) in values {
            let value = self.named(node, Some(attrs[at].name));
            attrs[at].value = AttrValue::Plain(value);
        }
        let dynamic = self.dynamic(set);
        AttrSet {
            recursive: set.recursive,
            attrs: self.arena.alloc_slice_copy(&attrs),
            sources,
            dynamic,
        }
    }

    /// The attributes in order, and which of them have values that must be resolved in the frame, which is now there.
    fn heads_of(&mut self, set: &RawSet) -> (Vec<Attr<'a>>, Vec<(usize, NodeId)>) {
        let mut order: Vec<RawAttr> = set.attrs.clone();
        order.sort_unstable_by_key(|attr| self.names[attr.name as usize]);
        let mut attrs = Vec::with_capacity(order.len());
        let mut values = Vec::with_capacity(order.len());
        for (at, attr) in order.iter().enumerate() {
            let value = match attr.value {
                // `inherit a;` means the `a` outside, so it is resolved before the frame is there.
                Value::Inherited => {
                    let kind = self.variable(attr.name, attr.start, attr.end);
                    AttrValue::Inherited(self.alloc(kind, attr.start, attr.end))
                }
                Value::Plain(node) => {
                    values.push((at, node));
                    AttrValue::From(0)
                }
                Value::From(source) => AttrValue::From(source),
            };
            attrs.push(Attr {
                name: self.names[attr.name as usize],
                value,
                place: self.place(attr.start, attr.end),
            });
        }
        if set.recursive {
            self.frames += 1;
            for (slot, attr) in order.iter().enumerate() {
                self.bind(attr.name, slot as u32);
            }
        }
        (attrs, values)
    }

    fn dynamic(&mut self, set: &RawSet) -> &'a [DynamicAttr<'a>] {
        let mut all = Vec::with_capacity(set.dynamic.len());
        for (name, value, start, end) in &set.dynamic {
            let name = self.expr(*name);
            let value = self.expr(*value);
            all.push(DynamicAttr { name, value, place: self.place(*start, *end) });
        }
        self.arena.alloc_slice_copy(&all)
    }

    fn lambda(&mut self, id: u32, name: Option<Symbol>, start: u32) -> ExprKind<'a> {
        let raw = self.raw;
        let lambda = raw.lambdas[id as usize];
        let mark = self.bindings.len();
        self.frames += 1;
        if let Some(arg) = lambda.arg {
            self.bind(arg, 0);
        }
        let formals = lambda.formals.map(|(run, ellipsis)| {
            let mut list = run.of(&raw.formals).to_vec();
            list.sort_unstable_by_key(|formal| self.names[formal.name as usize]);
            let first = u32::from(lambda.arg.is_some());
            for (i, formal) in list.iter().enumerate() {
                self.bind(formal.name, first + i as u32);
            }
            let list = self.arena.alloc_slice_fill_iter(list.iter().map(|formal| Formal {
                name: self.names[formal.name as usize],
                default: formal.default.map(|default| self.expr(default)),
                place: self.place(formal.start, formal.end),
            }));
            Formals { list, ellipsis }
        });
        let body = self.named(lambda.body, name);
        self.unbind(mark);
        self.frames -= 1;
        let arg = lambda.arg.map(|arg| self.names[arg as usize]);
        let head = self.span(start, lambda.head_end);
        let (hands_on, chain, lends) = lending(formals.as_ref(), body);
        ExprKind::Lambda(self.arena.alloc(Lambda {
            name,
            arg,
            formals,
            body,
            head,
            chain,
            lends,
            hands_on,
        }))
    }
}
