//! The names that the evaluator itself looks for, as constants.

use nix_syntax::{Symbol, Symbols};

macro_rules! known {
    ($($ident:ident = $text:literal),* $(,)?) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[repr(u32)]
        enum Known { $($ident),* }
        const NAMES: &[&str] = &[$($text),*];
        $(pub(crate) const $ident: Symbol = Symbol(Known::$ident as u32);)*
    };
}

known! {
    OUT_PATH = "outPath", DRV_PATH = "drvPath", TYPE = "type", NAME = "name", VALUE = "value",
    FUNCTOR = "__functor", TO_STRING = "__toString", SYSTEM = "system", BUILDER = "builder",
    ARGS = "args", OUTPUTS = "outputs",
    STRUCTURED = "__structuredAttrs", IGNORE_NULLS = "__ignoreNulls",
    CONTENT_ADDRESSED = "__contentAddressed", IMPURE = "__impure",
    OUTPUT_HASH = "outputHash", OUTPUT_HASH_ALGO = "outputHashAlgo",
    OUTPUT_HASH_MODE = "outputHashMode",
    SUCCESS = "success", RIGHT = "right", WRONG = "wrong", VERSION = "version",
    FILE = "file", LINE = "line", COLUMN = "column", PATH = "path", PREFIX = "prefix",
    START_SET = "startSet", OPERATOR = "operator", KEY = "key", FILTER = "filter",
    RECURSIVE = "recursive", SHA256 = "sha256", ALL_OUTPUTS = "allOutputs",
    HASH = "hash", HASH_ALGO = "hashAlgo", TO_HASH_FORMAT = "toHashFormat",
    INPUTS = "inputs", DESCRIPTION = "description", NIX_CONFIG = "nixConfig", SELF = "self",
    SOURCE_INFO = "sourceInfo", UNDERSCORE_TYPE = "_type",
    URL = "url", FLAKE = "flake", FOLLOWS = "follows", OVERRIDES = "__overrides",
}

/// Make the constants name what they say: the table must be new.
pub(crate) fn intern_all(symbols: &Symbols<'_>) {
    for name in NAMES {
        symbols.intern(name.as_bytes());
    }
}
