//! The builtins: one module per kind, and the table that all files see.

mod attrs;
mod closure;
mod context;
pub(crate) mod docs;
mod dynamic;
mod fetch;
mod hash;
mod lists;
mod math;
mod misc;
mod path;
mod regex;
mod strings;
mod text;
mod toml;
mod types;
mod version;

pub(crate) use hash::parse_hash;

use std::cell::Cell;

use nix_syntax::Origin;

use crate::Evaluator;
use crate::error::Result;
use crate::slot::Slot;
use crate::source::{Place, Pos};
use crate::value::{Delayed, Native, PrimFn, PrimOp, Value};

/// What a builtin gives.
type Out<'a> = Result<Value<'a>>;

/// Builtins that files see by their plain name; the others only with `__` or from `builtins`.
const PLAIN: &[&str] = &[
    "abort",
    "baseNameOf",
    "break",
    "derivationStrict",
    "dirOf",
    "fetchGit",
    "fetchMercurial",
    "fetchTarball",
    "fetchTree",
    "fromTOML",
    "import",
    "isNull",
    "map",
    "placeholder",
    "removeAttrs",
    "scopedImport",
    "throw",
    "toString",
];

/// Values that are not functions.
const CONSTANTS: &[(&str, PrimFn)] = &[
    ("storeDir", misc::store_dir),
    ("nixVersion", misc::nix_version),
    ("langVersion", misc::lang_version),
    ("nixPath", path::nix_path),
];

/// The same, but only where evaluation may be impure.
const IMPURE: &[(&str, PrimFn)] =
    &[("currentSystem", misc::current_system), ("currentTime", misc::current_time)];

/// `derivation`, in terms of `derivationStrict`.
const DERIVATION: &[u8] = br#"
drvAttrs@{ outputs ? [ "out" ], ... }:
let
  made = derivationStrict drvAttrs;
  output = name: shared // {
    outPath = builtins.getAttr name made;
    drvPath = made.drvPath;
    type = "derivation";
    outputName = name;
  };
  all = map (name: { inherit name; value = output name; }) outputs;
  shared = drvAttrs // builtins.listToAttrs all // {
    all = map (one: one.value) all;
    inherit drvAttrs;
  };
in (builtins.head all).value
"#;

/// Builtins that C++ Nix has only while an experimental feature is on.
const GATED: &[(&str, &str)] =
    &[("fetchClosure", "fetch-closure"), ("outputOf", "dynamic-derivations")];

fn ops(features: &[String]) -> impl Iterator<Item = &'static PrimOp> {
    let on = |op: &&PrimOp| {
        let gate = GATED.iter().find(|(name, _)| *name == op.name);
        gate.is_none_or(|(_, feature)| features.iter().any(|known| known == feature))
    };
    [
        attrs::OPS,
        context::OPS,
        closure::OPS,
        dynamic::OPS,
        fetch::OPS,
        hash::OPS,
        lists::OPS,
        math::OPS,
        misc::OPS,
        path::OPS,
        regex::OPS,
        strings::OPS,
        text::OPS,
        toml::OPS,
        types::OPS,
        version::OPS,
        crate::drv::OPS,
        crate::flake::OPS,
    ]
    .into_iter()
    .flatten()
    .filter(on)
}

fn global_name(name: &str) -> String {
    if PLAIN.contains(&name) { name.to_owned() } else { format!("__{name}") }
}

/// The global names; their values are put in by [`fill`].
pub(crate) fn globals(features: &[String]) -> Vec<String> {
    let mut names: Vec<String> =
        ["true", "false", "null", "builtins", "derivation"].map(str::to_owned).to_vec();
    names.extend(ops(features).map(|op| global_name(op.name)));
    names.extend(CONSTANTS.iter().chain(IMPURE).map(|(name, _)| global_name(name)));
    names
}

pub(crate) fn fill<'a>(nix: &Evaluator<'a>, names: &[String], slots: &[Cell<Slot<'a>>]) {
    let set = |name: &str, value: Value<'a>| {
        if let Some(index) = names.iter().position(|known| known == name) {
            slots[index].set(nix.slot(value));
        }
    };
    let native =
        |run: PrimFn| nix.thunk(Delayed::Native(nix.arena.alloc(Native { run, args: &[] }))).get();
    let mut entries = Vec::new();
    let mut add = |name: &str, value: Value<'a>| {
        let name = nix.symbols.intern(name.as_bytes());
        entries.push(nix.attr(name, Place::NONE, value));
    };
    for op in ops(&nix.settings.features) {
        add(op.name, Value::PrimOp(op));
    }
    for (name, value) in [
        ("true", Value::Bool(true)),
        ("false", Value::Bool(false)),
        ("null", Value::Null),
        ("derivation", native(derivation)),
    ] {
        add(name, value);
        set(name, value);
    }
    for (name, run) in CONSTANTS {
        let value = native(*run);
        add(name, value);
        set(&global_name(name), value);
    }
    for (name, run) in IMPURE {
        let value = native(*run);
        if !nix.settings.pure {
            add(name, value);
        }
        set(&global_name(name), value);
    }
    add("builtins", native(builtins_set));
    set("builtins", nix.attrs_from(entries));
    // The names of the functions are in the order of `ops`, after the five special ones.
    for (op, slot) in ops(&nix.settings.features).zip(&slots[5..]) {
        slot.set(nix.slot(Value::PrimOp(op)));
    }
}

impl<'a> Evaluator<'a> {
    /// `builtins`.
    pub(crate) fn builtins_value(&self) -> Value<'a> {
        self.globals.slot(3).get()
    }
}

fn builtins_set<'a>(nix: &Evaluator<'a>, _: &[Value<'a>], _: Pos) -> Out<'a> {
    Ok(nix.globals.slot(3).get())
}

fn derivation<'a>(nix: &Evaluator<'a>, _: &[Value<'a>], _: Pos) -> Out<'a> {
    let origin = Origin::Text("«derivation»".into());
    nix.eval_text(origin, DERIVATION.to_vec(), b"/", None, nix.root_env)
}
