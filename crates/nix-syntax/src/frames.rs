//! Which functions are done with their frame when their body has been evaluated.

use crate::ast::{AttrName, AttrSet, AttrValue, Expr, ExprKind, StrPart};

/// Whether evaluating `expr` may leave something behind that refers to the frame it is evaluated in:
/// a function, a frame within, or anything that is evaluated later.
pub(crate) fn keeps_frame(expr: &Expr<'_>) -> bool {
    match &expr.kind {
        ExprKind::Int(_)
        | ExprKind::Float(_)
        | ExprKind::Str(_)
        | ExprKind::Path(_)
        | ExprKind::Local { .. }
        | ExprKind::Global(_)
        | ExprKind::WithVar { .. }
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
    )
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
