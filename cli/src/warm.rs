//! Evaluating with what the agent of this host keeps warm.

use crate::commands::agent;
use crate::context::Globals;
use hc_agent::Client;
use hc_agent::wire::{EvaluateRequest, Surroundings};
use hc_deploy::far::{Answer, Order, Service};
use std::cell::RefCell;
use std::rc::Rc;

/// The agent's evaluators. What they are to do for the next time they are told when this is dropped: by then
/// the machines are up, and nothing waits for the processor.
pub struct Evaluators {
    reach: Option<(Client, Surroundings)>,
    later: RefCell<Option<Order>>,
}

impl Evaluators {
    /// Those of this host's agent. Nobody but root may ask them.
    pub fn new(globals: &Globals) -> anyhow::Result<Rc<Self>> {
        let reach = || {
            let config = agent::config(globals).ok()?;
            let surroundings = Surroundings::of_this_process(globals.store.clone())?
                .with_environment(Globals::version().ok()?, std::env::vars_os())?;
            Some((Client::new(config.socket()), surroundings))
        };
        let reach = if rustix::process::geteuid().is_root() { reach() } else { None };
        Ok(Rc::new(Self { reach, later: RefCell::default() }))
    }

    fn call(&self, order: &Order, later: bool) -> Option<Answer> {
        let (client, surroundings) = self.reach.as_ref()?;
        let order = serde_json::to_value(order).ok()?;
        let request = EvaluateRequest { surroundings: surroundings.clone(), order };
        // Whatever goes wrong: everybody can evaluate without them.
        let answer = client.evaluate(&request, later).ok()??;
        serde_json::from_value(answer).ok()
    }
}

impl Service for Evaluators {
    fn ask(&self, order: &Order) -> Option<Answer> {
        self.call(order, false)
    }

    fn later(&self, order: Order) {
        self.later.replace(Some(order));
    }
}

impl Drop for Evaluators {
    fn drop(&mut self) {
        if let Some(order) = self.later.take() {
            self.call(&order, true);
        }
    }
}
