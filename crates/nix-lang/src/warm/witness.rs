//! What an evaluation asked the world, to tell later and elsewhere whether it would be the same again.

use std::path::PathBuf;
use std::rc::Rc;

use nix_compat::flake_ref::{Input, from_json, to_json};
use serde_json::{Value as Json, json};

use super::graph::Graph;
use super::leaf::{Question, Recorder};
use crate::io::{FetchRequest, Io};

/// Sees what an evaluation asks the world.
pub struct Witness<'a>(Rc<Graph<'a>>);

/// A question to the world and the digest of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen(Json);

impl<'a> Witness<'a> {
    /// Looks at what goes through `io`.
    pub fn new(io: impl Io + 'a) -> Self {
        Witness(Rc::new(Graph::new(Rc::new(io))))
    }

    /// The door to evaluate through.
    #[must_use]
    pub fn door(&self) -> impl Io + 'a {
        Recorder::new(self.0.clone())
    }

    /// What was asked. Nothing when it cannot be told whether it would be answered the same again: a
    /// tree that was taken as a whole, an answer that changed meanwhile, a name that is no text.
    #[must_use]
    pub fn seen(&self) -> Option<Vec<Seen>> {
        let leaves = self.0.leaves.borrow();
        leaves.answers().map(|(question, answer)| Seen::new(question, answer?)).collect()
    }
}

impl Seen {
    fn new(question: &Question, answer: blake3::Hash) -> Option<Self> {
        let (kind, what) = match question {
            Question::File(path) => ("file", json!(path.to_str()?)),
            Question::Dir(path) => ("directory", json!(path.to_str()?)),
            Question::Type(path) => ("type", json!(path.to_str()?)),
            Question::Link(path) => ("link", json!(path.to_str()?)),
            Question::Tracked(request) => ("tracked", fetch_json(request)),
            Question::Fetched(request) => ("fetched", fetch_json(request)),
            Question::Registries(global) => ("registries", json!(global)),
            Question::Tree(_) => return None,
        };
        Some(Seen(json!([kind, what, answer.to_hex().as_str()])))
    }

    /// From the JSON that [`Seen::to_json`] gave. Whatever else is in it is found out by
    /// [`Seen::holds`].
    #[must_use]
    pub fn from_json(json: Json) -> Self {
        Seen(json)
    }

    /// As JSON, to be kept.
    #[must_use]
    pub fn to_json(&self) -> &Json {
        &self.0
    }

    /// Whether the world would answer the same now.
    pub fn holds(&self, io: &dyn Io) -> bool {
        let asked = || {
            let [kind, what, answer] = self.0.as_array()?.as_slice() else { return None };
            let path = || what.as_str().map(PathBuf::from);
            let question = match kind.as_str()? {
                "file" => Question::File(path()?),
                "directory" => Question::Dir(path()?),
                "type" => Question::Type(path()?),
                "link" => Question::Link(path()?),
                "tracked" => Question::Tracked(fetch_from_json(what)?),
                "registries" => Question::Registries(what.as_bool()?),
                "fetched" => Question::Fetched(fetch_from_json(what)?),
                _ => return None,
            };
            Some(question.ask(io)?.to_hex().as_str() == answer.as_str()?)
        };
        asked().unwrap_or(false)
    }
}

fn fetch_json(request: &FetchRequest) -> Json {
    json!({
        "input": to_json(request.input.attrs()),
        "final": request.is_final,
        "lazy": request.lazy,
    })
}

fn fetch_from_json(json: &Json) -> Option<FetchRequest> {
    Some(FetchRequest {
        input: Input::from_attrs(from_json(json.get("input")?).ok()?).ok()?,
        is_final: json.get("final")?.as_bool()?,
        lazy: json.get("lazy")?.as_bool()?,
    })
}
