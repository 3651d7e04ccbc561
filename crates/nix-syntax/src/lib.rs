//! Nix text to a resolved syntax tree.
//!
//! ```
//! use nix_syntax::{Globals, Options, Origin, Sources, Symbols, parse};
//! let arena = bumpalo::Bump::new();
//! let symbols = Symbols::new(&arena);
//! let sources = Sources::new();
//! let globals = Globals::new(&symbols, [b"true".as_slice(), b"map"]);
//! let file = sources.add(Origin::Text("«string»".into()), (*b"map (x: x + 1)").into());
//! let expr = parse(&arena, &symbols, &sources, file, &Options::new(b"/", &globals));
//! ```

mod adopt;
pub mod ast;
mod frames;
mod lexer;
mod lint;
mod name;
mod packed;
mod parser;
mod raw;
mod report;
mod resolve;
mod show;
mod source;
mod suggest;
mod symbol;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::HashMap;

use bumpalo::Bump;
use rustc_hash::FxBuildHasher;

use parser::Parser;
use resolve::Resolver;

pub use adopt::{Moved, Twins, adopt};
pub use ast::Expr;
pub use lint::{Lint, Lints, Warning};
pub use name::{is_identifier, push_name, push_string, written_name};
pub use packed::PackedTexts;
pub use parser::canonical;
pub use report::{Report, coloured, render};
pub use show::{float, show, show_part};
pub use source::{FileId, Origin, Part, Place, Source, Sources, Span};
pub use suggest::nearest;
pub use symbol::{Symbol, Symbols};

/// Bytes of stack that one level of nesting can take while parsing, unoptimised build included.
pub const STACK_PER_LEVEL: usize = 8 << 10;

/// The names every file sees, numbered in the order given.
pub struct Globals {
    indexes: HashMap<Symbol, u32, FxBuildHasher>,
    names: Vec<Symbol>,
}

impl Globals {
    /// Globals by name; the position in `names` is the index of [`ast::ExprKind::Global`].
    pub fn new<'n>(symbols: &Symbols<'_>, names: impl IntoIterator<Item = &'n [u8]>) -> Self {
        let names: Vec<Symbol> = names.into_iter().map(|name| symbols.intern(name)).collect();
        let indexes = names.iter().enumerate().map(|(i, name)| (*name, i as u32)).collect();
        Self { indexes, names }
    }

    /// All names, by index.
    pub fn symbols(&self) -> impl Iterator<Item = Symbol> {
        self.names.iter().copied()
    }

    /// The name at an index.
    pub fn name(&self, index: u32) -> Option<Symbol> {
        self.names.get(index as usize).copied()
    }

    /// The index of a name.
    pub fn get(&self, name: Symbol) -> Option<u32> {
        self.indexes.get(&name).copied()
    }
}

/// What a text is parsed against.
#[derive(Clone, Copy)]
pub struct Options<'o> {
    /// Absolute directory that `./x` starts from.
    pub base_path: &'o [u8],
    /// Absolute directory that `~/x` starts from; none makes such paths errors (pure evaluation).
    pub home: Option<&'o [u8]>,
    /// Names every file sees.
    pub globals: &'o Globals,
    /// Variables of the one outer frame, slot by slot (`scopedImport`); they hide globals. `Some(&[])` still means a frame.
    pub outer: Option<&'o [Symbol]>,
    /// Leave the text of indented strings in the pieces in which C++ Nix reads it: for showing a tree, not for evaluation.
    pub pieces: bool,
    /// What to warn of, and what to refuse.
    pub lints: Lints,
    /// Where warnings go.
    pub warnings: Option<&'o RefCell<Vec<Warning>>>,
    /// How deep expressions may nest; each level can take [`STACK_PER_LEVEL`]. The default suits a 2 MiB stack; C++ Nix allows several
    /// thousand levels.
    pub max_depth: u32,
}

impl<'o> Options<'o> {
    /// No home, no outer frame, the default depth.
    pub fn new(base_path: &'o [u8], globals: &'o Globals) -> Self {
        Self {
            base_path,
            home: None,
            globals,
            outer: None,
            pieces: false,
            lints: Lints::default(),
            warnings: None,
            max_depth: 200,
        }
    }
}

/// Parses and resolves a registered text. Errors come back as reports for [`render`]; there is at least one.
pub fn parse<'a>(
    arena: &'a Bump,
    symbols: &Symbols<'a>,
    sources: &Sources,
    file: FileId,
    options: &Options<'_>,
) -> Result<&'a Expr<'a>, Vec<Report>> {
    let Source { text, base, .. } = sources.get(file);
    if !sources.is_countable() {
        return Err(vec![Report::new(
            "source texts of 4 GiB and more are not supported",
            Span { start: base, end: base },
        )]);
    }
    let mut parser = Parser::new(&text, arena, base, options);
    let root = match parser.file() {
        Ok(root) => root,
        Err(report) => {
            parser.errors.push(*report);
            return Err(with_places(parser.errors, sources));
        }
    };
    let mut resolver = Resolver::new(&parser.raw, arena, symbols, sources, options, base);
    let expr = resolver.expr(root);
    let mut errors = std::mem::take(&mut resolver.errors);
    if parser.errors.is_empty() && errors.is_empty() {
        return Ok(expr);
    }
    // What the parser itself found comes first: C++ Nix stops there.
    let mut all = parser.errors;
    all.append(&mut errors);
    Err(with_places(all, sources))
}

/// The message of a second definition says where the first one is.
fn with_places(mut reports: Vec<Report>, sources: &Sources) -> Vec<Report> {
    for report in &mut reports {
        let first = report.notes.first().and_then(|(place, _)| *place);
        if report.title.ends_with("already defined")
            && let Some(first) = first.and_then(|first| sources.part(first))
        {
            let (line, column) = sources.line_column(first.file, first.start);
            let name = match sources.origin(first.file) {
                Origin::Path(path) => String::from_utf8_lossy(&path).into_owned(),
                Origin::Text(label) => label.to_string(),
            };
            report.title += &format!(" at {name}:{line}:{column}");
        }
    }
    reports
}
