//! Values made of what Rust code has.

use nix_syntax::{Place, Symbol, written_name};

use crate::Evaluator;
use crate::context::Ctx;
use crate::slot::Slot;
use crate::value::{Attr, Attrs, List, PathValue, Str, Value};

impl<'a> Evaluator<'a> {
    pub(crate) fn static_str(&self, bytes: &'a [u8]) -> Value<'a> {
        Value::String(self.arena.alloc(Str::new(bytes, Ctx::NONE)))
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
        Value::String(self.arena.alloc(Str::new(bytes, ctx)))
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
            let string = Str::new(self.symbols.name(name), Ctx::NONE);
            string.symbol.set(name.0 + 1);
            self.arena.alloc(string)
        });
        Value::String(string)
    }
}
