//! The one way evaluation reaches the world: for `hc eval` and every verb like it.

use crate::context::Globals;
use crate::progress::Progress;
use hc_deploy::{IoOptions, StoreIo};
use nix_store::{BuildEvent, BuildObserver, StoreConfig};

/// What evaluation may see and do.
#[derive(Debug, Clone)]
pub struct Eval {
    /// Let expressions see the environment.
    pub environment: bool,
    /// `builtins.currentSystem`, when it is not that of this machine.
    pub system: Option<String>,
    /// Build what evaluation wants to read (`allow-import-from-derivation`).
    pub import_from_derivation: bool,
}

impl Default for Eval {
    fn default() -> Self {
        Self { environment: false, system: None, import_from_derivation: true }
    }
}

/// Opens evaluation's door to the world. The store is touched when something must really exist.
pub fn open_io(globals: &Globals, eval: Eval) -> StoreIo {
    StoreIo::new(IoOptions {
        store: StoreConfig { root: globals.store.clone(), ..StoreConfig::default() },
        environment: eval.environment,
        system: eval.system,
        import_from_derivation: eval.import_from_derivation,
        message: |text| eprintln!("{text}"),
        observer: Box::new(Observer { progress: Progress::new() }),
    })
}

/// Says on the terminal what is being built while evaluation waits for it.
struct Observer {
    progress: Progress,
}

impl BuildObserver for Observer {
    fn event(&self, event: BuildEvent<'_>) {
        crate::commands::observe(&self.progress, event);
    }
}
