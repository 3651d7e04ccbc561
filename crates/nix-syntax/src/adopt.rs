//! A new version of a text that keeps the syntax nodes of the old one where nothing changed.
//!
//! Whoever remembers work by syntax node (warm evaluation) then remembers it across an edit.

use std::collections::HashMap;

use bumpalo::Bump;
use rustc_hash::FxBuildHasher;

use crate::ast::{
    Assert, Attr, AttrName, AttrSet, AttrValue, Binary, Call, DynamicAttr, Expr, ExprKind, Formal,
    Formals, HasAttr, If, Lambda, Let, SearchPath, Select, StrPart, With,
};
use crate::source::{FileId, Part, Place, Sources, Span};

/// Where the bytes of one version of a text are in the next: what is the same at the beginning and
/// at the end keeps its place, counted from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The next version.
    pub to: FileId,
    /// How many bytes are the same at the beginning.
    pub prefix: u32,
    /// Where in the old text the part begins that is the same at the end.
    pub suffix: u32,
    /// How much further that part begins in the new text.
    pub by: i64,
}

impl Moved {
    /// Compare two versions.
    pub fn between(old: &[u8], new: &[u8], to: FileId) -> Self {
        let most = old.len().min(new.len());
        let prefix = old.iter().zip(new).take_while(|(a, b)| a == b).count();
        let same = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
        let same = same.min(most - prefix);
        Moved {
            to,
            prefix: prefix as u32,
            suffix: (old.len() - same) as u32,
            by: new.len() as i64 - old.len() as i64,
        }
    }

    /// The place of an old place in the new text, unless it was edited.
    pub fn part(&self, part: Part) -> Option<Part> {
        // Where one part ends and the other begins at once, both answers are good.
        let offset = |at: u32, is_end: bool| {
            if at < self.prefix || (is_end && at == self.prefix) {
                Some(at)
            } else if at >= self.suffix {
                u32::try_from(i64::from(at) + self.by).ok()
            } else {
                None
            }
        };
        Some(Part {
            file: self.to,
            start: offset(part.start, false)?,
            end: offset(part.end, true)?,
        })
    }
}

/// From the address of a new node to that of the old node in its place.
pub type Twins = HashMap<usize, usize, FxBuildHasher>;

/// The tree of the new version, with the nodes of the old one wherever they say the same. `place`
/// says where a place of the old tree is in the new text; `twins` learns which new node stands in the
/// place of which old one.
pub fn adopt<'a>(
    arena: &'a Bump,
    sources: &Sources,
    place: &dyn Fn(Span) -> Option<Span>,
    twins: &mut Twins,
    old: &'a Expr<'a>,
    new: &'a Expr<'a>,
) -> &'a Expr<'a> {
    Adopter { arena, sources, place, twins }.expr(old, new)
}

struct Adopter<'a, 'm> {
    arena: &'a Bump,
    sources: &'m Sources,
    place: &'m dyn Fn(Span) -> Option<Span>,
    twins: &'m mut Twins,
}

fn address<T>(node: &T) -> usize {
    std::ptr::from_ref(node) as usize
}

impl<'a> Adopter<'a, '_> {
    fn stayed(&self, old: Span, new: Span) -> bool {
        (self.place)(old) == Some(new)
    }

    fn remained(&self, old: Place, new: Place) -> bool {
        match (self.sources.span(old), self.sources.span(new)) {
            (Some(old), Some(new)) => self.stayed(old, new),
            _ => false,
        }
    }

    fn twin<T>(&mut self, new: &T, old: &T) {
        let old = address(old);
        let first = self.twins.get(&old).copied().unwrap_or(old);
        self.twins.insert(address(new), first);
    }

    fn expr(&mut self, old: &'a Expr<'a>, new: &'a Expr<'a>) -> &'a Expr<'a> {
        let kind = self.kind(&old.kind, &new.kind);
        let same = matches!(kind, Some((_, true))) && self.stayed(old.span, new.span);
        if same {
            return old;
        }
        let kind = kind.map_or(new.kind, |(kind, _)| kind);
        let made = self.arena.alloc(Expr { kind, span: new.span });
        self.twin(made, old);
        made
    }

    /// The kind with old parts, and whether all of it is old; nothing when they differ in kind.
    fn kind(&mut self, old: &ExprKind<'a>, new: &ExprKind<'a>) -> Option<(ExprKind<'a>, bool)> {
        let plain = |same: bool| Some((if same { *old } else { *new }, same));
        match (*old, *new) {
            (ExprKind::Int(a), ExprKind::Int(b)) => plain(a == b),
            (ExprKind::Float(a), ExprKind::Float(b)) => plain(a.to_bits() == b.to_bits()),
            (ExprKind::Str(a), ExprKind::Str(b)) | (ExprKind::Path(a), ExprKind::Path(b)) => {
                plain(a == b)
            }
            (ExprKind::Interpolated(a), ExprKind::Interpolated(b)) => {
                let (parts, same) = self.parts(a, b);
                Some((ExprKind::Interpolated(self.pick(a, parts, same)), same))
            }
            (ExprKind::InterpolatedPath(a), ExprKind::InterpolatedPath(b)) => {
                let (parts, same) = self.parts(a, b);
                Some((ExprKind::InterpolatedPath(self.pick(a, parts, same)), same))
            }
            (ExprKind::SearchPath(a), ExprKind::SearchPath(b)) => {
                let made = SearchPath {
                    find_file: self.expr(a.find_file, b.find_file),
                    nix_path: self.expr(a.nix_path, b.nix_path),
                    path: b.path,
                };
                let same = a.path == b.path
                    && std::ptr::eq(made.find_file, a.find_file)
                    && std::ptr::eq(made.nix_path, a.nix_path);
                Some((ExprKind::SearchPath(self.pick(a, made, same)), same))
            }
            (ExprKind::Local { level: a, index: i }, ExprKind::Local { level: b, index: j }) => {
                plain(a == b && i == j)
            }
            (ExprKind::Global(a), ExprKind::Global(b)) => plain(a == b),
            (ExprKind::WithVar(a), ExprKind::WithVar(b)) => plain(a == b),
            (ExprKind::List(a), ExprKind::List(b)) => {
                let (items, same) = self.exprs(a, b);
                Some((ExprKind::List(self.pick(a, items, same)), same))
            }
            (ExprKind::Attrs(a), ExprKind::Attrs(b)) => {
                let (set, same) = self.set(a, b);
                let made = self.pick(a, set, same);
                if !same && same_shape(a, made) {
                    self.twin(made, a);
                }
                Some((ExprKind::Attrs(made), same))
            }
            (ExprKind::Let(a), ExprKind::Let(b)) => {
                let (bindings, same) = self.set(&a.bindings, &b.bindings);
                let body = self.expr(a.body, b.body);
                let same = same && std::ptr::eq(body, a.body);
                let made = self.pick(a, Let { bindings, body }, same);
                if !same && same_shape(&a.bindings, &made.bindings) {
                    self.twin(&made.bindings, &a.bindings);
                }
                Some((ExprKind::Let(made), same))
            }
            (ExprKind::Lambda(a), ExprKind::Lambda(b)) => Some(self.lambda(a, b)),
            (ExprKind::Call(a), ExprKind::Call(b)) => {
                let function = self.expr(a.function, b.function);
                let (args, same) = self.exprs(a.args, b.args);
                let same = same && std::ptr::eq(function, a.function);
                Some((ExprKind::Call(self.pick(a, Call { function, args }, same)), same))
            }
            (ExprKind::Select(a), ExprKind::Select(b)) => {
                let subject = self.expr(a.subject, b.subject);
                let (path, same_path) = self.names(a.path, b.path);
                let (default, same_default) = self.option(a.default, b.default);
                let same = same_path && same_default && std::ptr::eq(subject, a.subject);
                let made = Select { subject, path, default };
                Some((ExprKind::Select(self.pick(a, made, same)), same))
            }
            (ExprKind::HasAttr(a), ExprKind::HasAttr(b)) => {
                let subject = self.expr(a.subject, b.subject);
                let (path, same) = self.names(a.path, b.path);
                let same = same && std::ptr::eq(subject, a.subject);
                Some((ExprKind::HasAttr(self.pick(a, HasAttr { subject, path }, same)), same))
            }
            (ExprKind::If(a), ExprKind::If(b)) => {
                let made = If {
                    condition: self.expr(a.condition, b.condition),
                    yes: self.expr(a.yes, b.yes),
                    no: self.expr(a.no, b.no),
                };
                let same = std::ptr::eq(made.condition, a.condition)
                    && std::ptr::eq(made.yes, a.yes)
                    && std::ptr::eq(made.no, a.no);
                Some((ExprKind::If(self.pick(a, made, same)), same))
            }
            (ExprKind::With(a), ExprKind::With(b)) => {
                let made = With {
                    namespace: self.expr(a.namespace, b.namespace),
                    body: self.expr(a.body, b.body),
                };
                let same =
                    std::ptr::eq(made.namespace, a.namespace) && std::ptr::eq(made.body, a.body);
                let made = self.pick(a, made, same);
                if !same {
                    self.twin(made, a);
                }
                Some((ExprKind::With(made), same))
            }
            (ExprKind::Assert(a), ExprKind::Assert(b)) => {
                let made = Assert {
                    condition: self.expr(a.condition, b.condition),
                    body: self.expr(a.body, b.body),
                };
                let same =
                    std::ptr::eq(made.condition, a.condition) && std::ptr::eq(made.body, a.body);
                Some((ExprKind::Assert(self.pick(a, made, same)), same))
            }
            (ExprKind::Not(a), ExprKind::Not(b)) => {
                let inner = self.expr(a, b);
                Some((ExprKind::Not(inner), std::ptr::eq(inner, a)))
            }
            (ExprKind::Negate(a), ExprKind::Negate(b)) => {
                let inner = self.expr(a, b);
                Some((ExprKind::Negate(inner), std::ptr::eq(inner, a)))
            }
            (ExprKind::Binary(a), ExprKind::Binary(b)) => {
                let made = Binary {
                    left: self.expr(a.left, b.left),
                    right: self.expr(a.right, b.right),
                    ..*b
                };
                let same = a.op == b.op
                    && std::ptr::eq(made.left, a.left)
                    && std::ptr::eq(made.right, a.right)
                    && self.stayed(a.op_span, b.op_span);
                Some((ExprKind::Binary(self.pick(a, made, same)), same))
            }
            (ExprKind::CurPos, ExprKind::CurPos) => plain(true),
            _ => None,
        }
    }

    /// The old node, or the new one where they differ.
    fn pick<T>(&self, old: &'a T, new: T, same: bool) -> &'a T {
        if same { old } else { self.arena.alloc(new) }
    }

    fn lambda(&mut self, old: &'a Lambda<'a>, new: &'a Lambda<'a>) -> (ExprKind<'a>, bool) {
        let body = self.expr(old.body, new.body);
        let mut same = std::ptr::eq(body, old.body)
            && old.name == new.name
            && old.arg == new.arg
            && self.stayed(old.head, new.head);
        let formals = match (&old.formals, &new.formals) {
            (None, None) => None,
            (Some(a), Some(b)) => {
                let (list, same_list) = self.formals(a.list, b.list);
                same &= same_list && a.ellipsis == b.ellipsis;
                Some(Formals { list, ellipsis: b.ellipsis })
            }
            (_, formals) => {
                same = false;
                *formals
            }
        };
        let made = self.pick(old, Lambda { body, formals, ..*new }, same);
        // Scopes of the one can stand for scopes of the other when their slots mean the same.
        let slots = |lambda: &Lambda<'a>| {
            let list = lambda.formals.map_or(&[] as &[Formal<'a>], |formals| formals.list);
            (
                lambda.arg,
                lambda.formals.is_some(),
                list.iter().map(|one| one.name).collect::<Vec<_>>(),
            )
        };
        if !same && slots(old) == slots(made) {
            self.twin(made, old);
        }
        (ExprKind::Lambda(made), same)
    }

    fn formals(
        &mut self,
        old: &'a [Formal<'a>],
        new: &'a [Formal<'a>],
    ) -> (&'a [Formal<'a>], bool) {
        let mut same = old.len() == new.len();
        let mut made = Vec::with_capacity(new.len());
        for formal in new {
            let Ok(at) = old.binary_search_by_key(&formal.name, |one| one.name) else {
                same = false;
                made.push(*formal);
                continue;
            };
            let (default, same_default) = self.option(old[at].default, formal.default);
            same &= same_default && self.remained(old[at].place, formal.place);
            made.push(Formal { default, ..*formal });
        }
        if same { (old, true) } else { (self.arena.alloc_slice_copy(&made), false) }
    }

    fn option(
        &mut self,
        old: Option<&'a Expr<'a>>,
        new: Option<&'a Expr<'a>>,
    ) -> (Option<&'a Expr<'a>>, bool) {
        match (old, new) {
            (Some(old), Some(new)) => {
                let made = self.expr(old, new);
                (Some(made), std::ptr::eq(made, old))
            }
            (None, None) => (None, true),
            (_, new) => (new, false),
        }
    }

    /// Expressions side by side: the same ones at the beginning and at the end are paired, and
    /// what is between when it is equally many.
    fn exprs(
        &mut self,
        old: &'a [&'a Expr<'a>],
        new: &'a [&'a Expr<'a>],
    ) -> (&'a [&'a Expr<'a>], bool) {
        let mut made: Vec<&'a Expr<'a>> = new.to_vec();
        let mut same = old.len() == new.len();
        if same {
            for (made, old) in made.iter_mut().zip(old) {
                *made = self.expr(old, made);
                same &= std::ptr::eq(*made, *old);
            }
        } else {
            // What lies before or after the edit is the same by its place.
            for made in &mut made {
                let twin = old.iter().find(|old| self.stayed(old.span, made.span));
                if let Some(old) = twin {
                    *made = self.expr(old, made);
                }
            }
        }
        if same { (old, true) } else { (self.arena.alloc_slice_copy(&made), false) }
    }

    /// Things side by side, as many as before: `one` gives each, and whether it is the old one.
    fn each<T: Copy>(
        &mut self,
        old: &'a [T],
        new: &'a [T],
        mut one: impl FnMut(&mut Self, T, T) -> (T, bool),
    ) -> (&'a [T], bool) {
        if old.len() != new.len() {
            return (new, false);
        }
        let mut same = true;
        let mut made = Vec::with_capacity(new.len());
        for (old, new) in old.iter().zip(new) {
            let (part, is_old) = one(self, *old, *new);
            same &= is_old;
            made.push(part);
        }
        if same { (old, true) } else { (self.arena.alloc_slice_copy(&made), false) }
    }

    fn parts(
        &mut self,
        old: &'a [StrPart<'a>],
        new: &'a [StrPart<'a>],
    ) -> (&'a [StrPart<'a>], bool) {
        self.each(old, new, |this, old, new| match (old, new) {
            (StrPart::Expr(a), StrPart::Expr(b)) => {
                let expr = this.expr(a, b);
                (StrPart::Expr(expr), std::ptr::eq(expr, a))
            }
            (StrPart::Text(a), StrPart::Text(b)) => (new, a == b),
            _ => (new, false),
        })
    }

    fn names(
        &mut self,
        old: &'a [AttrName<'a>],
        new: &'a [AttrName<'a>],
    ) -> (&'a [AttrName<'a>], bool) {
        self.each(old, new, |this, old, new| match (old, new) {
            (AttrName::Dynamic(a), AttrName::Dynamic(b)) => {
                let expr = this.expr(a, b);
                (AttrName::Dynamic(expr), std::ptr::eq(expr, a))
            }
            (AttrName::Static(a), AttrName::Static(b)) => (new, a == b),
            _ => (new, false),
        })
    }

    fn set(&mut self, old: &AttrSet<'a>, new: &AttrSet<'a>) -> (AttrSet<'a>, bool) {
        let mut same = old.attrs.len() == new.attrs.len();
        let (sources, same_sources) = self.exprs(old.sources, new.sources);
        let mut attrs = Vec::with_capacity(new.attrs.len());
        for attr in new.attrs {
            let Ok(at) = old.attrs.binary_search_by_key(&attr.name, |one| one.name) else {
                same = false;
                attrs.push(*attr);
                continue;
            };
            let known = &old.attrs[at];
            let value = match (known.value, attr.value) {
                (AttrValue::Plain(a), AttrValue::Plain(b)) => {
                    let expr = self.expr(a, b);
                    same &= std::ptr::eq(expr, a);
                    AttrValue::Plain(expr)
                }
                (AttrValue::Inherited(a), AttrValue::Inherited(b)) => {
                    let expr = self.expr(a, b);
                    same &= std::ptr::eq(expr, a);
                    AttrValue::Inherited(expr)
                }
                (AttrValue::From(a), AttrValue::From(b)) => {
                    same &= a == b;
                    AttrValue::From(b)
                }
                (_, value) => {
                    same = false;
                    value
                }
            };
            same &= self.remained(known.place, attr.place);
            attrs.push(Attr { value, ..*attr });
        }
        let (dynamic, same_dynamic) = self.dynamic(old.dynamic, new.dynamic);
        same &= same_sources && same_dynamic && old.recursive == new.recursive;
        if same {
            return (*old, true);
        }
        let attrs = self.arena.alloc_slice_copy(&attrs);
        (AttrSet { recursive: new.recursive, attrs, sources, dynamic }, false)
    }

    fn dynamic(
        &mut self,
        old: &'a [DynamicAttr<'a>],
        new: &'a [DynamicAttr<'a>],
    ) -> (&'a [DynamicAttr<'a>], bool) {
        let mut same = old.len() == new.len();
        let mut made = Vec::with_capacity(new.len());
        for (at, attr) in new.iter().enumerate() {
            let Some(known) = old.get(at) else {
                made.push(*attr);
                continue;
            };
            let name = self.expr(known.name, attr.name);
            let value = self.expr(known.value, attr.value);
            same &= std::ptr::eq(name, known.name)
                && std::ptr::eq(value, known.value)
                && self.remained(known.place, attr.place);
            made.push(DynamicAttr { name, value, place: attr.place });
        }
        if same { (old, true) } else { (self.arena.alloc_slice_copy(&made), false) }
    }
}

/// Whether scopes of two sets have the same slots.
fn same_shape(old: &AttrSet<'_>, new: &AttrSet<'_>) -> bool {
    old.recursive == new.recursive
        && old.attrs.len() == new.attrs.len()
        && old.attrs.iter().zip(new.attrs).all(|(old, new)| old.name == new.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Globals, Options, Origin, Sources, Symbols, parse, show};

    /// The edited tree reads as the new text does, and how many nodes were made anew.
    fn edited(old: &str, new: &str) -> usize {
        let arena = Bump::new();
        let symbols = Symbols::new(&arena);
        let sources = Sources::new();
        let globals = Globals::new(&symbols, [b"map".as_slice()]);
        let read = |text: &str| {
            let file = sources.add(Origin::Text("t".into()), text.as_bytes().into());
            let options = Options::new(b"/", &globals);
            (file, parse(&arena, &symbols, &sources, file, &options).expect("an expression"))
        };
        let (_, first) = read(old);
        let (to, second) = read(new);
        let moved = Moved::between(old.as_bytes(), new.as_bytes(), to);
        let mut twins = Twins::default();
        let place = |span| Some(sources.span_of(moved.part(sources.part(span)?)?));
        let made = adopt(&arena, &sources, &place, &mut twins, first, second);
        let shown = |expr| show(expr, &symbols, &globals, None);
        assert_eq!(shown(made), shown(second));
        twins.len()
    }

    #[test]
    fn only_the_way_to_the_edit_is_new() {
        let same = edited("{ a = 1; b = x: x; }", "{ a = 1; b = x: x; }");
        assert_eq!(same, 0);
        let twins = edited("{ a = [ 1 2 3 ]; b = x: x; }", "{ a = [ 1 22 3 ]; b = x: x; }");
        // The set, the list, the number, and the set's own node.
        assert_eq!(twins, 4);
        edited("let a = 1; in a", "let a = 1; b = 2; in a + b");
        edited("{ a, b ? 2, ... }@c: a", "{ a, b ? 3 }@c: b");
        edited("with map; [ 1 ]", "with map; [ 0 1 ] ++ []");
        edited("\"${map} b\"", "\"${map} bc\"");
    }

    #[test]
    fn places_follow_the_text() {
        let moved = Moved::between(b"ab cd ef", b"ab XXXX ef", FileId(1));
        let part = |start, end| Part { file: FileId(0), start, end };
        let to = |start, end| Some(Part { file: FileId(1), start, end });
        assert_eq!(moved.part(part(0, 2)), to(0, 2));
        assert_eq!(moved.part(part(6, 8)), to(8, 10));
        assert_eq!(moved.part(part(3, 5)), None);
        assert_eq!(moved.part(part(0, 8)), to(0, 10));
    }
}
