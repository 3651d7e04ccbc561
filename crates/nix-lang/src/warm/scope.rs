//! Making scopes again: the scope of the earlier run where nothing but code in it changed.

use nix_syntax::ast::{AttrSet, AttrValue, Expr, ExprKind, Lambda};

use super::graph::Graph;
use super::matching::Site;
use crate::Evaluator;
use crate::value::{Attrs, Delayed, Env, NodeId, Value};

/// Thunks of an earlier scope, with what they compute in this run.
type Taken<'a> = Vec<(NodeId, Delayed<'a>)>;

impl<'a> Evaluator<'a> {
    /// The scope that the earlier run made for this `let` or `rec`. Its thunks stay, those whose
    /// code is another now run again.
    pub(crate) fn bind_again(
        &self,
        graph: &Graph<'a>,
        set: &'a AttrSet<'a>,
        outer: &'a Env<'a>,
    ) -> Option<&'a Env<'a>> {
        let mut taken = Taken::new();
        let env = graph.claim_env(Site::of(set), outer, |env| {
            taken.clear();
            env.slots().len() == set.attrs.len()
                && self.scope_fits(graph, set, env, outer, &mut taken).is_some()
        })?;
        graph.take_all(&taken);
        Some(env)
    }

    fn scope_fits(
        &self,
        graph: &Graph<'a>,
        set: &'a AttrSet<'a>,
        env: &'a Env<'a>,
        outer: &'a Env<'a>,
        taken: &mut Taken<'a>,
    ) -> Option<()> {
        let mut sources: Vec<Option<Value<'a>>> = vec![None; set.sources.len()];
        for (at, (attr, slot)) in set.attrs.iter().zip(env.slots()).enumerate() {
            let value = slot.get().get();
            match attr.value {
                AttrValue::Plain(expr) => {
                    self.slot_fits(graph, (expr, env), Some(at), value, taken)?;
                }
                AttrValue::Inherited(expr) => {
                    self.slot_fits(graph, (expr, outer), None, value, taken)?;
                }
                AttrValue::From(index) => {
                    let (node, origin @ Delayed::Select(from, _)) = graph.origin_of(value)? else {
                        return None;
                    };
                    let known = &mut sources[index as usize];
                    let value = from.get();
                    match known {
                        Some(known) if !graph.same(*known, value) => return None,
                        Some(_) => {}
                        None => {
                            let expr = set.sources[index as usize];
                            self.slot_fits(graph, (expr, env), Some(0), value, taken)?;
                            *known = Some(value);
                        }
                    }
                    if !graph.same_origin(origin, Delayed::Select(from, attr)) {
                        return None;
                    }
                    taken.push((node, origin));
                }
            }
        }
        Some(())
    }

    /// Whether a slot holds what an expression puts there, or a thunk that can be made to. `filled` is
    /// how many slots of the scope have a value by then, where the expression sees that scope.
    fn slot_fits(
        &self,
        graph: &Graph<'a>,
        (expr, env): (&'a Expr<'a>, &'a Env<'a>),
        filled: Option<usize>,
        value: Value<'a>,
        taken: &mut Taken<'a>,
    ) -> Option<()> {
        if let Some((node, Delayed::Expr(known, within))) = graph.origin_of(value)
            && std::ptr::eq(within, env)
            && graph.site(Site::of(known)) == graph.site(Site::of(expr))
        {
            taken.push((node, Delayed::Expr(expr, env)));
            return Some(());
        }
        // A variable that stands for another one shares its value, if that one has one by then.
        let alias = match expr.kind {
            ExprKind::Local { level: 0, index } => {
                filled.is_none_or(|filled| (index as usize) < filled)
            }
            ExprKind::Local { .. } | ExprKind::Global(_) | ExprKind::List([]) => true,
            _ => false,
        };
        if alias && graph.same(value, self.delay(expr, env)) { Some(()) } else { None }
    }

    /// The scope that the earlier run made for a call of the same function with the same argument.
    pub(crate) fn bind_formals_again(
        &self,
        graph: &Graph<'a>,
        (lambda, up): (&'a Lambda<'a>, &'a Env<'a>),
        value: Value<'a>,
        attrs: &'a Attrs<'a>,
    ) -> Option<&'a Env<'a>> {
        let formals = lambda.formals?;
        let mut taken = Taken::new();
        let env = graph.claim_env(Site::of(lambda), up, |env| {
            taken.clear();
            if env.slots().len() != lambda.slots() {
                return false;
            }
            let mut slots = env.slots();
            if lambda.arg.is_some() {
                if !graph.same(slots[0].get().get(), value) {
                    return false;
                }
                slots = &slots[1..];
            }
            let mut found = 0;
            for (formal, slot) in formals.list.iter().zip(slots) {
                let fits = match (attrs.get(formal.name), formal.default) {
                    (Some(attr), _) => {
                        found += 1;
                        graph.same(slot.get().get(), attr.value())
                    }
                    (None, Some(default)) => match graph.origin_of(slot.get().get()) {
                        Some((node, Delayed::Expr(known, within)))
                            if std::ptr::eq(within, env)
                                && graph.site(Site::of(known)) == graph.site(Site::of(default)) =>
                        {
                            taken.push((node, Delayed::Expr(default, env)));
                            true
                        }
                        _ => false,
                    },
                    (None, None) => false,
                };
                if !fits {
                    return false;
                }
            }
            formals.ellipsis || found == self.entries(attrs).len()
        })?;
        graph.take_all(&taken);
        Some(env)
    }
}

impl<'a> Graph<'a> {
    /// The record of a thunk value and what the thunk computes.
    fn origin_of(&self, value: Value<'a>) -> Option<(NodeId, Delayed<'a>)> {
        let Value::Thunk(thunk) = value else { return None };
        let node = thunk.get().node();
        if node == 0 {
            return None;
        }
        Some((node, self.inner.borrow().nodes[node as usize].origin?))
    }

    fn take_all(&self, taken: &[(NodeId, Delayed<'a>)]) {
        let mut inner = self.inner.borrow_mut();
        for (node, origin) in taken {
            self.take(&mut inner, *node, *origin);
        }
    }
}
