//! The names that the evaluator itself looks for, as constants.

use nix_syntax::{Symbol, Symbols};

macro_rules! known {
    ($($ident:ident = $text:literal),* $(,)?) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[repr(u32)]
        enum Known { $($ident),* }
        const NAMES: &[&str] = &[$($text),*];
        $(#[allow(dead_code)] pub(crate) const $ident: Symbol = Symbol(Known::$ident as u32);)*
    };
}

known! {
    // In the order in which C++ Nix knows them, because attributes are kept in the order of their
    // symbols: it decides which of two errors is met first.
    WITH = "<with>", OUT_PATH = "outPath", DRV_PATH = "drvPath", TYPE = "type", META = "meta",
    NAME = "name", VALUE = "value", SYSTEM = "system", OVERRIDES = "__overrides",
    OUTPUTS = "outputs", OUTPUT_NAME = "outputName", IGNORE_NULLS = "__ignoreNulls",
    FILE = "file", LINE = "line", COLUMN = "column", FUNCTOR = "__functor",
    TO_STRING = "__toString", RIGHT = "right", WRONG = "wrong",
    STRUCTURED = "__structuredAttrs", JSON = "__json",
    ALLOWED_REFERENCES = "allowedReferences", ALLOWED_REQUISITES = "allowedRequisites",
    DISALLOWED_REFERENCES = "disallowedReferences",
    DISALLOWED_REQUISITES = "disallowedRequisites", MAX_SIZE = "maxSize",
    MAX_CLOSURE_SIZE = "maxClosureSize", BUILDER = "builder", ARGS = "args",
    CONTENT_ADDRESSED = "__contentAddressed", IMPURE = "__impure", OUTPUT_HASH = "outputHash",
    OUTPUT_HASH_ALGO = "outputHashAlgo", OUTPUT_HASH_MODE = "outputHashMode",
    RECURSE = "recurseForDerivations", DESCRIPTION = "description", SELF = "self",
    EPSILON = "", START_SET = "startSet", OPERATOR = "operator", KEY = "key", PATH = "path",
    PREFIX = "prefix", OUTPUT_SPECIFIED = "outputSpecified",

    SUCCESS = "success", VERSION = "version",
    FILTER = "filter",
    RECURSIVE = "recursive", SHA256 = "sha256", ALL_OUTPUTS = "allOutputs",
    HASH = "hash", HASH_ALGO = "hashAlgo", TO_HASH_FORMAT = "toHashFormat",
    INPUTS = "inputs", NIX_CONFIG = "nixConfig",
    SOURCE_INFO = "sourceInfo", UNDERSCORE_TYPE = "_type",
    URL = "url", FLAKE = "flake", FOLLOWS = "follows",
}

/// Make the constants name what they say: the table must be new.
pub(crate) fn intern_all(symbols: &Symbols<'_>) {
    for name in NAMES {
        symbols.intern(name.as_bytes());
    }
}
