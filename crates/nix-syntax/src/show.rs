//! The resolved tree as text, in the form of `nix-instantiate --parse`: made to be compared.

use crate::Globals;
use crate::ast::*;
use crate::name::{push_name, push_string};
use crate::source::Source;
use crate::symbol::{Symbol, Symbols};

/// The tree as Nix code with every grouping in parentheses and operators that are functions written as calls. Variables are printed by
/// the name of the slot they were resolved to. Recurses as deep as the tree is: for tests and tools, not for any input.
pub fn show(
    expr: &Expr<'_>,
    symbols: &Symbols<'_>,
    globals: &Globals,
    outer: Option<&[Symbol]>,
) -> Vec<u8> {
    let frames = outer.map(<[Symbol]>::to_vec).into_iter().collect();
    let mut shower = Shower { symbols, globals, frames, source: None, out: Vec::new() };
    shower.expr(expr);
    shower.out
}

/// A part of a tree in the same form; variables bound outside of it are shown as its source has them.
pub fn show_part(
    expr: &Expr<'_>,
    symbols: &Symbols<'_>,
    globals: &Globals,
    source: &Source,
) -> Vec<u8> {
    let source = Some(source);
    let mut shower = Shower { symbols, globals, frames: Vec::new(), source, out: Vec::new() };
    shower.expr(expr);
    shower.out
}

struct Shower<'s, 'a> {
    symbols: &'s Symbols<'a>,
    globals: &'s Globals,
    frames: Vec<Vec<Symbol>>,
    /// The source, where the tree is a part of one.
    source: Option<&'s Source>,
    out: Vec<u8>,
}

impl Shower<'_, '_> {
    fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn name(&mut self, symbol: Symbol) {
        self.out.extend_from_slice(self.symbols.name(symbol));
    }

    fn attr(&mut self, symbol: Symbol) {
        push_name(&mut self.out, self.symbols.name(symbol));
    }

    fn string(&mut self, text: &[u8]) {
        push_string(&mut self.out, text);
    }

    fn parts(&mut self, parts: &[StrPart<'_>], path: bool) {
        self.put("(");
        for (i, part) in parts.iter().enumerate() {
            if i > 0 {
                self.put(" + ");
            }
            match part {
                StrPart::Text(text) if path && i == 0 => self.out.extend_from_slice(text),
                StrPart::Text(text) => self.string(text),
                StrPart::Expr(expr) => self.expr(expr),
            }
        }
        self.put(")");
    }

    fn path(&mut self, path: &[AttrName<'_>]) {
        for (i, name) in path.iter().enumerate() {
            if i > 0 {
                self.put(".");
            }
            match name {
                AttrName::Static(symbol) => self.attr(*symbol),
                AttrName::Dynamic(expr) => {
                    self.put("\"${");
                    self.expr(expr);
                    self.put("}\"");
                }
            }
        }
    }

    fn call(&mut self, function: &str, args: [&Expr<'_>; 2]) {
        self.put("(");
        self.put(function);
        for arg in args {
            self.put(" ");
            self.expr(arg);
        }
        self.put(")");
    }

    fn infix(&mut self, operator: &str, left: &Expr<'_>, right: &Expr<'_>) {
        self.put("(");
        self.expr(left);
        self.put(operator);
        self.expr(right);
        self.put(")");
    }

    fn binary(&mut self, binary: &Binary<'_>) {
        let (a, b) = (binary.left, binary.right);
        match binary.op {
            BinaryOp::Implies => self.infix(" -> ", a, b),
            BinaryOp::Or => self.infix(" || ", a, b),
            BinaryOp::And => self.infix(" && ", a, b),
            BinaryOp::Equal => self.infix(" == ", a, b),
            BinaryOp::NotEqual => self.infix(" != ", a, b),
            BinaryOp::Update => self.infix(" // ", a, b),
            BinaryOp::Add => self.infix(" + ", a, b),
            BinaryOp::Concat => self.infix(" ++ ", a, b),
            BinaryOp::Subtract => self.call("__sub", [a, b]),
            BinaryOp::Multiply => self.call("__mul", [a, b]),
            BinaryOp::Divide => self.call("__div", [a, b]),
            BinaryOp::Less => self.call("__lessThan", [a, b]),
            BinaryOp::Greater => self.call("__lessThan", [b, a]),
            BinaryOp::LessOrEqual | BinaryOp::GreaterOrEqual => {
                self.put("(! ");
                self.call(
                    "__lessThan",
                    if binary.op == BinaryOp::LessOrEqual { [b, a] } else { [a, b] },
                );
                self.put(")");
            }
        }
    }

    /// Attributes by name, inherited ones first; the frame of a recursive set must be in place.
    fn bindings(&mut self, set: &AttrSet<'_>) {
        let mut attrs: Vec<&Attr<'_>> = set.attrs.iter().collect();
        attrs.sort_by_key(|attr| self.symbols.name(attr.name));
        let inherited = |attr: &&&Attr<'_>| matches!(attr.value, AttrValue::Inherited(_));
        self.inherited("inherit", attrs.iter().filter(inherited).map(|attr| attr.name));
        for (index, source) in set.sources.iter().enumerate() {
            let from = |attr: &&&Attr<'_>| matches!(attr.value, AttrValue::From(at) if at as usize == index);
            if attrs.iter().any(|attr| from(&attr)) {
                self.put("inherit (");
                self.expr(source);
                self.inherited(")", attrs.iter().filter(from).map(|attr| attr.name));
            }
        }
        for attr in attrs {
            if let AttrValue::Plain(value) = attr.value {
                self.attr(attr.name);
                self.put(" = ");
                self.expr(value);
                self.put("; ");
            }
        }
        for attr in set.dynamic {
            self.put("\"${");
            self.expr(attr.name);
            self.put("}\" = ");
            self.expr(attr.value);
            self.put("; ");
        }
    }

    /// Nothing when there are no names.
    fn inherited(&mut self, head: &str, names: impl Iterator<Item = Symbol>) {
        let mut any = false;
        for name in names {
            if !any {
                self.put(head);
                any = true;
            }
            self.put(" ");
            self.attr(name);
        }
        if any {
            self.put("; ");
        }
    }

    fn lambda(&mut self, lambda: &Lambda<'_>) {
        let mut frame: Vec<Symbol> = lambda.arg.into_iter().collect();
        frame.extend(
            lambda.formals.iter().flat_map(|formals| formals.list).map(|formal| formal.name),
        );
        self.frames.push(frame);
        self.put("(");
        if let Some(formals) = lambda.formals {
            let mut list: Vec<&Formal<'_>> = formals.list.iter().collect();
            list.sort_by_key(|formal| self.symbols.name(formal.name));
            self.put("{ ");
            for (i, formal) in list.iter().enumerate() {
                if i > 0 {
                    self.put(", ");
                }
                self.attr(formal.name);
                if let Some(default) = formal.default {
                    self.put(" ? ");
                    self.expr(default);
                }
            }
            if formals.ellipsis {
                self.put(if list.is_empty() { "..." } else { ", ..." });
            }
            self.put(" }");
            if lambda.arg.is_some() {
                self.put(" @ ");
            }
        }
        if let Some(arg) = lambda.arg {
            self.name(arg);
        }
        self.put(": ");
        self.expr(lambda.body);
        self.put(")");
        self.frames.pop();
    }

    fn expr(&mut self, expr: &Expr<'_>) {
        match expr.kind {
            ExprKind::Int(value) => self.put(&value.to_string()),
            ExprKind::Float(value) => self.put(&float(value)),
            ExprKind::Str(text) => self.string(text.bytes),
            ExprKind::Path(path) => self.out.extend_from_slice(path.bytes),
            ExprKind::Interpolated(parts) => self.parts(parts, false),
            ExprKind::InterpolatedPath(parts) => self.parts(parts, true),
            ExprKind::SearchPath(search) => {
                self.put("(");
                self.expr(search.find_file);
                self.put(" ");
                self.expr(search.nix_path);
                self.put(" ");
                self.string(search.path);
                self.put(")");
            }
            ExprKind::Local { level, index } => {
                let frame =
                    self.frames.len().checked_sub(level as usize + 1).map(|at| &self.frames[at]);
                match frame.and_then(|frame| frame.get(index as usize)).copied() {
                    Some(symbol) => self.name(symbol),
                    None => {
                        let text = self.source.and_then(|source| source.at(expr.span));
                        self.out.extend_from_slice(text.unwrap_or(b"_"));
                    }
                }
            }
            ExprKind::Global(index) => match self.globals.name(index) {
                Some(symbol) => self.name(symbol),
                None => self.put("«bad global»"),
            },
            ExprKind::WithVar(node) => self.name(node.name),
            ExprKind::List(elements) => {
                self.put("[ ");
                for element in *elements {
                    self.put("(");
                    self.expr(element);
                    self.put(") ");
                }
                self.put("]");
            }
            ExprKind::Attrs(set) => {
                self.put(if set.recursive { "rec { " } else { "{ " });
                if set.recursive {
                    self.frames.push(set.attrs.iter().map(|attr| attr.name).collect());
                }
                self.bindings(set);
                if set.recursive {
                    self.frames.pop();
                }
                self.put("}");
            }
            ExprKind::Let(inner) => {
                self.frames.push(inner.bindings.attrs.iter().map(|attr| attr.name).collect());
                self.put("(let ");
                self.bindings(&inner.bindings);
                self.put("in ");
                self.expr(inner.body);
                self.put(")");
                self.frames.pop();
            }
            ExprKind::Lambda(lambda) => self.lambda(lambda),
            ExprKind::Call(call) => {
                self.put("(");
                self.expr(call.function);
                for arg in call.args {
                    self.put(" ");
                    self.expr(arg);
                }
                self.put(")");
            }
            ExprKind::Select(select) => {
                self.put("(");
                self.expr(select.subject);
                self.put(").");
                self.path(select.path);
                if let Some(default) = select.default {
                    self.put(" or (");
                    self.expr(default);
                    self.put(")");
                }
            }
            ExprKind::HasAttr(has) => {
                self.put("((");
                self.expr(has.subject);
                self.put(") ? ");
                self.path(has.path);
                self.put(")");
            }
            ExprKind::If(choice) => {
                self.put("(if ");
                self.expr(choice.condition);
                self.put(" then ");
                self.expr(choice.yes);
                self.put(" else ");
                self.expr(choice.no);
                self.put(")");
            }
            ExprKind::With(with) => {
                self.put("(with ");
                self.expr(with.namespace);
                self.frames.push(Vec::new());
                self.put("; ");
                self.expr(with.body);
                self.put(")");
                self.frames.pop();
            }
            ExprKind::Assert(assert) => {
                self.put("assert ");
                self.expr(assert.condition);
                self.put("; ");
                self.expr(assert.body);
            }
            ExprKind::Not(operand) => {
                self.put("(! ");
                self.expr(operand);
                self.put(")");
            }
            ExprKind::Negate(operand) => {
                self.put("(__sub 0 ");
                self.expr(operand);
                self.put(")");
            }
            ExprKind::Binary(inner) => self.binary(inner),
            ExprKind::CurPos => self.put("__curPos"),
        }
    }
}

/// A float with six significant digits, as C's `%g`.
pub fn float(number: f64) -> String {
    if number.is_nan() {
        return if number.is_sign_negative() { "-nan" } else { "nan" }.to_owned();
    }
    if number.is_infinite() {
        return if number < 0.0 { "-inf" } else { "inf" }.to_owned();
    }
    if number == 0.0 {
        return if number.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    let scientific = format!("{number:.5e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    if (-4..6).contains(&exponent) {
        trim(&format!("{number:.*}", (5 - exponent).max(0) as usize))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim(digits), exponent.abs())
    }
}
