//! Attribute sets: `//` by layers, and their attributes in a row.

use std::borrow::Cow;

use nix_syntax::Symbol;

use crate::Evaluator;
use crate::attrs::{Attr, Attrs, Parts};

/// A set below a layer is at least this large, and this much larger than the layer: only there
/// is copying it worth avoiding.
const LARGE: usize = 16;
const LARGER: usize = 2;

/// More layers are slower to look through than they are to copy.
const LAYERS: usize = 4;

impl<'a> Evaluator<'a> {
    /// `left // right`.
    pub(crate) fn update(&self, left: &'a Attrs<'a>, right: &'a Attrs<'a>) -> &'a Attrs<'a> {
        if right.is_empty() {
            return left;
        }
        if left.is_empty() {
            return right;
        }
        if let Parts::Layer(..) = right.parts() {
            let over = gathered(right);
            if self.worth_a_layer(left, over.len()) {
                return Attrs::layer(self.arena, self.set_of(&over), left);
            }
        } else if self.worth_a_layer(left, own_count(right)) {
            return Attrs::layer(self.arena, right, left);
        }
        self.set_of(&merge(&gathered(left), &gathered(right)))
    }

    /// All of the sets, later ones winning.
    pub(crate) fn update_all(&self, sets: &[&'a Attrs<'a>]) -> &'a Attrs<'a> {
        let mut filled = sets.iter().copied().filter(|set| !set.is_empty());
        let Some(first) = filled.next() else { return self.set_of(&[]) };
        let Some(second) = filled.next() else { return first };
        let Some(third) = filled.next() else { return self.update(first, second) };
        if self.graph.is_none() {
            // Nothing is copied as long as there are few layers.
            let two = self.update(self.update(first, second), third);
            return filled.fold(two, |below, set| self.update(below, set));
        }
        // What is made on the way is not needed later, so it is not in the arena.
        let upper = filled.fold(merge(&gathered(second), &gathered(third)), |upper, set| {
            merge(&upper, &gathered(set))
        });
        if self.worth_a_layer(first, upper.len()) {
            return Attrs::layer(self.arena, self.set_of(&upper), first);
        }
        self.set_of(&merge(&gathered(first), &upper))
    }

    /// Whether an update of so many attributes is rather a layer than a copy of both. A layer takes no
    /// room for attributes; where evaluation is recorded, sets are compared again and again, so there
    /// it has to save much.
    fn worth_a_layer(&self, below: &Attrs<'_>, over: usize) -> bool {
        let (mut layers, mut largest, mut next) = (1, 0, below);
        while let Parts::Layer(over, below) = next.parts() {
            layers += 1;
            largest = largest.max(own_count(over));
            next = below;
        }
        largest = largest.max(own_count(next));
        let large = largest >= LARGE && largest >= over * LARGER;
        layers <= LAYERS && (large || self.graph.is_none())
    }

    /// How many attributes there are.
    pub(crate) fn count(&self, attrs: &Attrs<'_>) -> usize {
        match attrs.parts() {
            Parts::Layer(over, below) => {
                let new = match over.parts() {
                    Parts::Run(entries) => {
                        entries.iter().filter(|attr| !below.has(attr.name)).count()
                    }
                    Parts::Written(attrs, _) => {
                        attrs.iter().filter(|attr| !below.has(attr.name)).count()
                    }
                    Parts::Layer(..) => {
                        gathered(over).iter().filter(|attr| !below.has(attr.name)).count()
                    }
                };
                self.count(below) + new
            }
            _ => own_count(attrs),
        }
    }

    /// The set without these attributes, which are sorted.
    pub(crate) fn without(&self, attrs: &'a Attrs<'a>, mut names: &[Symbol]) -> &'a Attrs<'a> {
        let all = gathered(attrs);
        let mut kept = Vec::with_capacity(all.len());
        kept.extend(all.iter().filter(|attr| {
            while let [first, rest @ ..] = names
                && *first < attr.name
            {
                names = rest;
            }
            names.first() != Some(&attr.name)
        }));
        self.set_of(&kept)
    }

    fn set_of(&self, entries: &[Attr<'a>]) -> &'a Attrs<'a> {
        Attrs::new(self.arena, self.arena.alloc_slice_copy(entries))
    }

    /// The attributes, sorted by symbol.
    #[inline]
    pub(crate) fn entries(&self, attrs: &'a Attrs<'a>) -> &'a [Attr<'a>] {
        match attrs.parts() {
            Parts::Run(entries) => entries,
            _ => self.flatten(attrs),
        }
    }

    #[cold]
    fn flatten(&self, attrs: &'a Attrs<'a>) -> &'a [Attr<'a>] {
        let entries: &'a [Attr<'a>] = self.arena.alloc_slice_copy(&gathered(attrs));
        attrs.flattened(self.arena, entries);
        entries
    }

    /// The attributes in the order of their names.
    pub(crate) fn sorted(&self, attrs: &'a Attrs<'a>) -> Vec<Attr<'a>> {
        let mut entries = gathered(attrs).into_owned();
        entries.sort_unstable_by(|left, right| self.symbols.compare(left.name, right.name));
        entries
    }
}

/// The attributes of a set and of all that is below it, not kept.
pub(crate) fn gathered<'a>(attrs: &'a Attrs<'a>) -> Cow<'a, [Attr<'a>]> {
    match attrs.parts() {
        Parts::Run(entries) => Cow::Borrowed(entries),
        Parts::Written(attrs, slots) => Cow::Owned(
            attrs
                .iter()
                .zip(slots)
                .map(|(attr, slot)| Attr { name: attr.name, place: attr.place, slot: *slot })
                .collect(),
        ),
        Parts::Layer(over, below) => Cow::Owned(merge(&gathered(below), &gathered(over))),
    }
}

/// How many attributes there are in a set that is no layer.
fn own_count(attrs: &Attrs<'_>) -> usize {
    match attrs.parts() {
        Parts::Run(entries) => entries.len(),
        Parts::Written(attrs, _) => attrs.len(),
        Parts::Layer(..) => 0,
    }
}

/// `left // right`, in runs of attributes that lie together in one of them.
fn merge<'a>(left: &[Attr<'a>], mut right: &[Attr<'a>]) -> Vec<Attr<'a>> {
    let mut all = Vec::with_capacity(left.len() + right.len());
    let mut rest = left;
    while let ([first, ..], [second, ..]) = (rest, right) {
        let run = if first.name < second.name { before(rest, second.name) } else { 0 };
        if run > 0 {
            all.extend_from_slice(&rest[..run]);
            rest = &rest[run..];
            continue;
        }
        // `right` goes first as long as it is not above what is left; the same names go away.
        let run = match before(right, first.name) {
            0 => 1,
            run => run,
        };
        all.extend_from_slice(&right[..run]);
        if right[run - 1].name == first.name {
            rest = &rest[1..];
        }
        right = &right[run..];
    }
    all.extend_from_slice(rest);
    all.extend_from_slice(right);
    all
}

/// How many attributes come before `name`: looked for in growing steps, for most runs are short.
fn before(entries: &[Attr<'_>], name: Symbol) -> usize {
    let mut step = 1;
    let mut low = 0;
    while low + step <= entries.len() && entries[low + step - 1].name < name {
        low += step;
        step *= 2;
    }
    let high = (low + step).min(entries.len());
    low + entries[low..high].partition_point(|attr| attr.name < name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;
    use crate::{Arena, ComputeIo, Settings};
    use nix_syntax::Place;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Model = BTreeMap<u32, i64>;

    fn models() -> impl Strategy<Value = Vec<Model>> {
        let small = proptest::collection::btree_map(0..60u32, any::<i64>(), 0..12);
        let large = proptest::collection::btree_map(0..60u32, any::<i64>(), 0..60);
        proptest::collection::vec(prop_oneof![small, large], 1..9)
    }

    fn model_of(entries: &[Attr<'_>]) -> Vec<(u32, i64)> {
        entries
            .iter()
            .map(|attr| match attr.value() {
                Value::Int(number) => (attr.name.0, number),
                _ => (attr.name.0, 0),
            })
            .collect()
    }

    proptest! {
        // Removals and updates in turn are those of a map.
        #[test]
        fn removals_are_those_of_a_map(
            first in proptest::collection::btree_map(0..60u32, any::<i64>(), 0..60),
            steps in proptest::collection::vec(
                (proptest::collection::btree_set(0..60u32, 0..12), proptest::collection::btree_map(0..60u32, any::<i64>(), 0..6)),
                0..8,
            ),
        ) {
            let arena = Arena::new();
            let nix = Evaluator::new(&arena, ComputeIo::new(), Settings::default());
            let set_of = |model: &Model| {
                let attr = |(name, value): (&u32, &i64)| {
                    nix.attr(Symbol(*name), Place::NONE, Value::Int(*value))
                };
                nix.set_of(&model.iter().map(attr).collect::<Vec<_>>())
            };
            let (mut set, mut model) = (set_of(&first), first);
            for (names, update) in steps {
                let known: Vec<Symbol> =
                    names.into_iter().map(Symbol).filter(|name| set.get(*name).is_some()).collect();
                set = nix.without(set, &known);
                model.retain(|name, _| !known.contains(&Symbol(*name)));
                prop_assert_eq!(nix.count(set), model.len());
                prop_assert_eq!(set.is_empty(), model.is_empty());
                set = nix.update(set, set_of(&update));
                model.extend(update);
                for name in 0..60 {
                    prop_assert_eq!(set.get(Symbol(name)).is_some(), model.contains_key(&name));
                }
                prop_assert_eq!(nix.count(set), model.len());
                let wanted: Vec<(u32, i64)> = model.iter().map(|(a, b)| (*a, *b)).collect();
                prop_assert_eq!(model_of(&gathered(set)), wanted);
            }
        }

        // Whatever the sizes, an update is what a map of maps says: looked up, in a row, by one
        // and all at once.
        #[test]
        fn updates_are_those_of_a_map(models in models()) {
            let arena = Arena::new();
            let nix = Evaluator::new(&arena, ComputeIo::new(), Settings::default());
            let sets: Vec<&Attrs<'_>> = models
                .iter()
                .map(|model| {
                    let entries: Vec<Attr<'_>> = model
                        .iter()
                        .map(|(name, value)| {
                            let place = Place::NONE;
                            nix.attr(Symbol(*name), place, Value::Int(*value))
                        })
                        .collect();
                    nix.set_of(&entries)
                })
                .collect();
            let wanted: Model = models.iter().flatten().map(|(a, b)| (*a, *b)).collect();
            let wanted: Vec<(u32, i64)> = wanted.into_iter().collect();
            let one_by_one = sets.iter().skip(1).fold(sets[0], |left, right| nix.update(left, right));
            for set in [one_by_one, nix.update_all(&sets)] {
                for name in 0..60 {
                    let found = set.get(Symbol(name)).map(|attr| model_of(&[attr])[0].1);
                    let model = wanted.iter().find(|(known, _)| *known == name).map(|pair| pair.1);
                    prop_assert_eq!(found, model);
                }
                prop_assert_eq!(set.is_empty(), wanted.is_empty());
                prop_assert_eq!(nix.count(set), wanted.len());
                prop_assert_eq!(model_of(nix.entries(set)), wanted.clone());
                prop_assert!(matches!(set.parts(), Parts::Run(_)));
            }
        }
    }
}
