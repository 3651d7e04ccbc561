//! Interned names.

use std::cell::RefCell;
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

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.table.borrow().names.len()
    }

    /// Whether there is no name yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
