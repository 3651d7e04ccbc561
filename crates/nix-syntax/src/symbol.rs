//! Interned names.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::HashMap;

use bumpalo::Bump;
use rustc_hash::FxBuildHasher;

/// An interned name: cheap to copy, compare and hash. Ordered by when it was first met, not by its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(pub u32);

/// The table of names of one evaluation. The text lives in the arena, so it can be held while more names come in.
pub struct Symbols<'a> {
    arena: &'a Bump,
    table: RefCell<Table<'a>>,
}

#[derive(Default)]
struct Table<'a> {
    ids: HashMap<&'a [u8], Symbol, FxBuildHasher>,
    names: Vec<&'a [u8]>,
    /// The first eight bytes of each name, the first one highest: mostly they decide an order.
    beginnings: Vec<u64>,
}

impl<'a> Symbols<'a> {
    /// An empty table whose text is kept in `arena`.
    pub fn new(arena: &'a Bump) -> Self {
        Self { arena, table: RefCell::default() }
    }

    /// The symbol of `name`, made when it is new.
    pub fn intern(&self, name: &[u8]) -> Symbol {
        let mut table = self.table.borrow_mut();
        if let Some(symbol) = table.ids.get(name) {
            return *symbol;
        }
        let name: &'a [u8] = self.arena.alloc_slice_copy(name);
        let symbol = Symbol(table.names.len() as u32);
        table.names.push(name);
        table.beginnings.push(beginning(name));
        table.ids.insert(name, symbol);
        symbol
    }

    /// The symbol of `name` if some code or value has used that name already.
    pub fn lookup(&self, name: &[u8]) -> Option<Symbol> {
        self.table.borrow().ids.get(name).copied()
    }

    /// The text of a symbol made by this table.
    pub fn name(&self, symbol: Symbol) -> &'a [u8] {
        self.table.borrow().names[symbol.0 as usize]
    }

    /// The order of two names by their texts.
    pub fn compare(&self, left: Symbol, right: Symbol) -> Ordering {
        let table = self.table.borrow();
        let (left, right) = (left.0 as usize, right.0 as usize);
        let first = table.beginnings[left].cmp(&table.beginnings[right]);
        first.then_with(|| table.names[left].cmp(table.names[right]))
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.table.borrow().names.len()
    }

    /// Whether there is no name yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn beginning(name: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let count = name.len().min(8);
    bytes[..count].copy_from_slice(&name[..count]);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn names_are_in_the_order_of_their_bytes(
            left in proptest::collection::vec(0u8..3, 0..11),
            right in proptest::collection::vec(0u8..3, 0..11),
        ) {
            let arena = Bump::new();
            let symbols = Symbols::new(&arena);
            let (one, other) = (symbols.intern(&left), symbols.intern(&right));
            prop_assert_eq!(symbols.compare(one, other), left.cmp(&right));
        }
    }
}
