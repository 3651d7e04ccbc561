//! Evaluation in another process that has done it before: the evaluators that an agent keeps warm.
//!
//! What goes between the two is JSON. The far side ([`Evaluators`]) evaluates only what it has evaluated
//! before and can tell exactly; whatever it declines, the near side ([`prepare_with`]) evaluates itself.

mod far_side;
mod near_side;

pub use far_side::Evaluators;
pub use near_side::{Service, prepare_with};

use crate::Request;
use nix_compat::StoreDir;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What of a [`Request`] is not the same for all requests of one process: a warm evaluator is good for
/// one of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// As in [`Request`].
    pub directory: PathBuf,
    /// As in [`Request`].
    pub untracked: bool,
    /// As in [`Request`].
    pub cloud: Option<String>,
    /// As in [`Request`].
    pub host: Option<String>,
    /// As in [`Request`].
    pub overrides: Vec<(String, String)>,
    /// Store path of the builder.
    pub builder: String,
    /// As in [`Request`]: nobody helps another version.
    pub version: String,
    /// As in [`Request`].
    pub features: Vec<String>,
    /// As in [`Request`].
    pub show_trace: bool,
    /// As in [`Request`].
    pub colour: bool,
}

impl Wanted {
    /// That of a request.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        Self {
            directory: request.directory.clone(),
            untracked: request.untracked,
            cloud: request.cloud.clone(),
            host: request.host.clone(),
            overrides: request.overrides.clone(),
            builder: StoreDir::default().render_path(&request.builder),
            version: request.version.clone(),
            features: request.features.clone(),
            show_trace: request.show_trace,
            colour: request.colour,
        }
    }
}

/// What the near side wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "order")]
pub enum Order {
    /// The machine set, if it is known from before.
    Evaluate(Wanted),
    /// Evaluate it, so that it is known next time.
    Warm(Wanted),
    /// Write sources and derivations of the last evaluation to the store.
    Write {
        /// Of what.
        wanted: Wanted,
        /// String contexts that name them, in C++ Nix's encoding.
        elements: Vec<String>,
    },
}

impl Order {
    fn wanted(&self) -> &Wanted {
        match self {
            Self::Evaluate(wanted) | Self::Warm(wanted) | Self::Write { wanted, .. } => wanted,
        }
    }
}

/// What the far side says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "answer")]
pub enum Answer {
    /// Somebody else has to do it.
    Declined {
        /// Why, for the curious.
        why: String,
    },
    /// It was evaluated, and its evaluator is kept.
    Warm {
        /// How many evaluators are kept.
        kept: usize,
    },
    /// It was evaluated.
    Evaluated(Box<Evaluated>),
    /// The Nix code is wrong.
    Failed {
        /// The whole report.
        report: String,
        /// What fetching said.
        messages: Vec<String>,
    },
    /// It is in the store.
    Written,
}

/// An evaluated host of a cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evaluated {
    /// Store path of the machine set.
    pub set: String,
    /// The host's description, as JSON text.
    pub host: String,
    /// Its machines.
    pub machines: Vec<EvaluatedMachine>,
    /// What the modules warn about.
    pub warnings: Vec<String>,
    /// What fetching said.
    pub messages: Vec<String>,
    /// Whether the evaluator is kept for the next time.
    pub kept: bool,
}

/// An evaluated machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EvaluatedMachine {
    /// Its description, as JSON text.
    pub text: String,
    /// Store paths in it.
    pub references: Vec<String>,
    /// String contexts of what has to be made first, in C++ Nix's encoding.
    pub context: Vec<String>,
}
