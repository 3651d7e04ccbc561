//! Which arguments a function only looks at, so that they can be lent to it.

use crate::ast::{AttrName, AttrSet, AttrValue, Expr, ExprKind, Formals, StrPart};

/// Whether evaluating `expr` may leave something behind that refers to the frame it is evaluated in:
/// a function, a frame within, or anything that is evaluated later.
fn keeps_frame(expr: &Expr<'_>) -> bool {
    match &expr.kind {
        ExprKind::Int(_)
        | ExprKind::Float(_)
        | ExprKind::Str(_)
        | ExprKind::Path(_)
        | ExprKind::Local { .. }
        | ExprKind::Global(_)
        | ExprKind::WithVar(_)
        | ExprKind::CurPos => false,
        ExprKind::Lambda(_) | ExprKind::Let(_) | ExprKind::With(_) => true,
        ExprKind::SearchPath(search) => keeps_frame(search.find_file) || waits(search.nix_path),
        ExprKind::List(items) => items.iter().any(|item| waits(item)),
        ExprKind::Attrs(set) => set_keeps_frame(set),
        ExprKind::Call(call) => {
            keeps_frame(call.function) || call.args.iter().any(|arg| waits(arg))
        }
        ExprKind::Select(select) => {
            keeps_frame(select.subject)
                || path_keeps_frame(select.path)
                || select.default.is_some_and(keeps_frame)
        }
        ExprKind::HasAttr(has) => keeps_frame(has.subject) || path_keeps_frame(has.path),
        ExprKind::If(node) => [node.condition, node.yes, node.no].into_iter().any(keeps_frame),
        ExprKind::Assert(node) => keeps_frame(node.condition) || keeps_frame(node.body),
        ExprKind::Not(inner) | ExprKind::Negate(inner) => keeps_frame(inner),
        ExprKind::Binary(node) => keeps_frame(node.left) || keeps_frame(node.right),
        ExprKind::Interpolated(parts) | ExprKind::InterpolatedPath(parts) => {
            parts.iter().any(|part| matches!(part, StrPart::Expr(expr) if keeps_frame(expr)))
        }
    }
}

/// Whether this is evaluated later where it is an argument, an element or an attribute. What is
/// there already is not.
fn waits(expr: &Expr<'_>) -> bool {
    !matches!(
        expr.kind,
        ExprKind::Int(_)
            | ExprKind::Float(_)
            | ExprKind::Str(_)
            | ExprKind::Path(_)
            | ExprKind::Local { .. }
            | ExprKind::Global(_)
            | ExprKind::List([])
    ) && !matches!(expr.kind, ExprKind::Attrs(set) if set.is_empty())
}

/// Levels, as bits, whose variables are handed on as they are when an expression that keeps no frame
/// is evaluated: as arguments, elements or attributes. Whatever else is done with one evaluates it.
fn hands_on(expr: &Expr<'_>) -> u32 {
    let all = |exprs: &[&Expr<'_>]| exprs.iter().fold(0, |all, expr| all | hands_on(expr));
    match &expr.kind {
        ExprKind::SearchPath(search) => hands_on(search.find_file) | given(search.nix_path),
        ExprKind::List(items) => items.iter().fold(0, |all, item| all | given(item)),
        ExprKind::Attrs(set) => {
            let named = set.attrs.iter().map(|attr| match attr.value {
                AttrValue::Plain(expr) | AttrValue::Inherited(expr) => given(expr),
                AttrValue::From(_) => 0,
            });
            let sources = set.sources.iter().map(|source| given(source));
            let dynamic = set.dynamic.iter().map(|attr| hands_on(attr.name) | given(attr.value));
            named.chain(sources).chain(dynamic).fold(0, |all, one| all | one)
        }
        ExprKind::Call(call) => {
            call.args.iter().fold(hands_on(call.function), |all, arg| all | given(arg))
        }
        ExprKind::Select(select) => {
            let default = select.default.map_or(0, hands_on);
            hands_on(select.subject) | path_hands_on(select.path) | default
        }
        ExprKind::HasAttr(has) => hands_on(has.subject) | path_hands_on(has.path),
        ExprKind::If(node) => all(&[node.condition, node.yes, node.no]),
        ExprKind::Assert(node) => all(&[node.condition, node.body]),
        ExprKind::Not(inner) | ExprKind::Negate(inner) => hands_on(inner),
        ExprKind::Binary(node) => all(&[node.left, node.right]),
        ExprKind::Interpolated(parts) | ExprKind::InterpolatedPath(parts) => {
            parts.iter().fold(0, |all, part| match part {
                StrPart::Text(_) => all,
                StrPart::Expr(expr) => all | hands_on(expr),
            })
        }
        _ => 0,
    }
}

fn given(expr: &Expr<'_>) -> u32 {
    match expr.kind {
        ExprKind::Local { level, .. } => 1u32.checked_shl(level).unwrap_or(0),
        _ => 0,
    }
}

fn path_hands_on(path: &[AttrName<'_>]) -> u32 {
    path.iter().fold(0, |all, name| match name {
        AttrName::Static(_) => all,
        AttrName::Dynamic(expr) => all | hands_on(expr),
    })
}

/// What a function hands on, how long its chain is and which arguments it lends: see [`Lambda`].
pub(crate) fn lending(formals: Option<&Formals<'_>>, body: &Expr<'_>) -> (u32, u8, u8) {
    let defaults =
        formals.is_some_and(|formals| formals.list.iter().any(|it| it.default.is_some()));
    let (hands_on, inner, lent) = match body.kind {
        ExprKind::Lambda(inner) => (inner.hands_on, inner.chain, inner.lends),
        _ if keeps_frame(body) => (u32::MAX, 0, 0),
        _ => (hands_on(body), 0, 0),
    };
    if inner >= 8 {
        return (u32::MAX, u8::MAX, 0);
    }
    // A set that is taken apart is evaluated first, and then it is its value that is kept.
    let lends = formals.is_some() || hands_on >> inner & 1 == 0;
    // Defaults are evaluated later, and see everything around them.
    let hands_on = if defaults { u32::MAX } else { hands_on };
    (hands_on, inner + 1, lent << 1 | u8::from(lends))
}

fn set_keeps_frame(set: &AttrSet<'_>) -> bool {
    let waiting = |value: &AttrValue<'_>| match value {
        AttrValue::Plain(expr) | AttrValue::Inherited(expr) => waits(expr),
        AttrValue::From(_) => false,
    };
    set.recursive
        || set.attrs.iter().any(|attr| waiting(&attr.value))
        || set.sources.iter().any(|source| waits(source))
        || set.dynamic.iter().any(|attr| keeps_frame(attr.name) || waits(attr.value))
}

fn path_keeps_frame(path: &[AttrName<'_>]) -> bool {
    path.iter().any(|name| matches!(name, AttrName::Dynamic(expr) if keeps_frame(expr)))
}

#[cfg(test)]
mod tests {
    use crate::ast::ExprKind;
    use crate::{Globals, Options, Origin, Sources, Symbols, parse};

    /// Length of the chain, and which arguments are lent, of a function.
    fn lends(text: &str) -> (u8, u8) {
        let arena = bumpalo::Bump::new();
        let symbols = Symbols::new(&arena);
        let sources = Sources::new();
        let globals = Globals::new(&symbols, [b"f".as_slice()]);
        let file = sources.add(Origin::Text("«string»".into()), text.as_bytes().into());
        let expr = parse(&arena, &symbols, &sources, file, &Options::new(b"/", &globals));
        match expr.map(|expr| expr.kind) {
            Ok(ExprKind::Lambda(lambda)) => (lambda.chain, lambda.lends),
            _ => panic!("'{text}' is no function"),
        }
    }

    #[test]
    fn what_is_only_evaluated_is_lent() {
        for (text, chain, lent) in [
            ("x: x", 1, 0b1),
            ("x: x.a.b or x", 1, 0b1),
            ("x: y: x + y", 2, 0b11),
            ("x: y: if x then y else \"${x}\"", 2, 0b11),
            ("x: assert x == 1; { a = 1; }", 1, 0b1),
            ("{ a, b }: a", 1, 0b1),
            ("{ a, b ? 1 }: [ a ]", 1, 0b1),
            ("x: { a }: x", 2, 0b11),
        ] {
            assert_eq!(lends(text), (chain, lent), "{text}");
        }
    }

    #[test]
    fn what_is_handed_on_is_not_lent() {
        for (text, chain, lent) in [
            ("x: [ x ]", 1, 0),
            ("x: f x", 1, 0),
            ("x: { inherit x; }", 1, 0),
            ("x: { inherit (x) a; }", 1, 0),
            ("x: { ${x} = 1; a = x; }", 1, 0),
            ("x: y: f x + y", 2, 0b10),
            ("x: y: [ y ] ++ x", 2, 0b01),
            ("x: y: z: f y", 3, 0b101),
            ("x: { a ? x }: a", 2, 0b10),
            ("x: { a }: y: x", 3, 0b111),
            ("x: { a ? x }: y: y", 3, 0b110),
            // Whatever is evaluated later sees the whole scope.
            ("x: f (x + 1)", 1, 0),
            ("x: let y = x; in y", 1, 0),
            ("x: with x; a", 1, 0),
            ("x: y: [ (z: x) ]", 2, 0),
            ("x: { a = x.b; }", 1, 0),
        ] {
            assert_eq!(lends(text), (chain, lent), "{text}");
        }
    }
}
