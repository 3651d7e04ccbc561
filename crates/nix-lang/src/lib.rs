//! The Nix language: text to value.
//!
//! An [`Evaluator`] runs expressions, files and flakes. Values are 16 bytes (8 where they are kept) and live in an
//! [`Arena`]; everything evaluation asks of the world goes through one trait, [`Io`].
//!
//! ```
//! use nix_lang::{Arena, ComputeIo, Evaluator, Settings};
//! let arena = Arena::new();
//! let nix = Evaluator::new(&arena, ComputeIo::new(), Settings::default());
//! let value = nix.eval_str("map (x: x * 2) [ 1 2 3 ]", "/")?;
//! assert_eq!(nix.print(value)?, "[ 2 4 6 ]");
//! # Ok::<(), nix_lang::Error>(())
//! ```
//!
//! Evaluation recurses natively: run it inside [`on_big_stack`], or deep programs are refused
//! earlier than they need to be.

mod api;
mod arena;
mod assert;
mod attrs;
mod bindings;
mod builtins;
mod call;
mod coerce;
mod compare;
mod compute_io;
mod context;
mod delay;
mod drv;
mod error;
mod eval;
mod evaluator;
mod flake;
mod grisu;
mod import;
mod index;
mod interactive;
mod io;
mod json;
mod json_read;
mod late;
mod links;
mod make;
mod mentioned;
mod ops;
mod packages;
mod parameters;
mod paths;
mod print;
mod reading;
mod report;
mod run;
mod scope;
mod select;
mod sets;
mod slot;
mod source;
mod stack;
mod store_paths;
mod suggest;
mod sym;
mod thunk;
mod value;
mod warm;
mod xml;

pub use arena::Arena;
pub use compute_io::{ComputeIo, file_type, git_tracked_files, hash_path, read_dir};
pub use context::{ContextElem, Ctx};
pub use error::{Error, ErrorKind, Result};
pub use evaluator::{Evaluator, Settings};
pub use flake::{FlakeOptions, LockMode, LockedFlake};
pub use io::{
    ClosureForm, ClosureRequest, FetchRequest, Fetched, FileType, Ingestion, Io, IoError,
    LocalTree, LockFile, PathFilter, Place,
};
pub use nix_compat::flake_ref::{Attr as RefAttr, FlakeRef, Input, registry};
pub use nix_compat::{CAHash, Derivation, NixHash, StoreDir, StorePath};
pub use nix_syntax::{Lint, Lints, coloured};
pub use packages::{Package, parse_attr_path};
pub use print::{PrintErrors, PrintOptions};
pub use source::Location;
pub use stack::on_big_stack;
pub use value::{Attr, Attrs, Closure, Env, List, PathValue, PrimOp, PrimOpApp, Str, Thunk, Value};
pub use warm::{Seen, WarmStats, Watched, Witness};
