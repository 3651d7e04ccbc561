//! The side that asks.

use super::{Answer, Evaluated, Order, Wanted};
use crate::assemble::{Door, Far, Prepared};
use crate::cloud::{self, Request};
use crate::{Error, Result};
use hc_spec::MachineSpec;
use nix_compat::{StoreDir, StorePath};
use nix_lang::ContextElem;
use nix_store::HostStore;
use std::collections::BTreeSet;
use std::rc::Rc;

/// The way to whoever keeps evaluators.
pub trait Service {
    /// Its answer; nothing when it gives none.
    fn ask(&self, order: &Order) -> Option<Answer>;

    /// To be asked when there is time: nobody waits for the answer.
    fn later(&self, order: Order);
}

/// As [`crate::prepare`], with the help of evaluators that are kept.
///
/// # Errors
/// As [`crate::prepare`].
pub fn prepare_with(request: Request, service: Rc<dyn Service>) -> Result<Prepared<'static>> {
    let wanted = Wanted::of(&request);
    let say = |messages: &[String]| {
        if let Some(fetch) = &request.fetch {
            messages.iter().for_each(|message| (fetch.message)(message));
        }
    };
    match service.ask(&Order::Evaluate(wanted.clone())) {
        Some(Answer::Failed { report, messages }) => {
            say(&messages);
            return Err(Error::Evaluation(report));
        }
        Some(Answer::Evaluated(evaluated)) => {
            if let Some(mut prepared) = rebuild(&request, &evaluated) {
                say(&evaluated.messages);
                if !evaluated.kept {
                    service.later(Order::Warm(wanted));
                }
                prepared.far = Some(Box::new(Elsewhere { request, service }));
                return Ok(prepared);
            }
        }
        _ => {}
    }
    let io = match crate::cache::recall(&request, Box::new(cloud::door(&request))) {
        Ok(prepared) => return Ok(prepared),
        Err(io) => io,
    };
    let mut prepared = cloud::prepare_cold(&request, *io)?;
    // What prints messages is evaluated as a whole each time, for all of them to be printed.
    if !prepared.io.has_spoken() {
        service.later(Order::Warm(wanted));
        prepared.service = Some(service);
    }
    Ok(prepared)
}

/// The same as it was there; nothing when it does not come out the same.
fn rebuild(request: &Request, evaluated: &Evaluated) -> Option<Prepared<'static>> {
    let store = StoreDir::default();
    let path = |text: &String| store.parse_path(text.as_bytes()).ok();
    let mut machines = Vec::with_capacity(evaluated.machines.len());
    for machine in &evaluated.machines {
        let spec = MachineSpec::from_json(machine.text.as_bytes()).ok()?;
        let context: Option<Vec<ContextElem>> =
            machine.context.iter().map(|text| ContextElem::decode(text, &store)).collect();
        let references: Option<BTreeSet<StorePath>> = machine.references.iter().map(path).collect();
        machines.push((spec, context?, references?));
    }
    let host = serde_json::from_str(&evaluated.host).ok()?;
    let io = Door::Own(Box::new(cloud::door(request)));
    let prepared = Prepared::from_parts(io, host, machines, evaluated.warnings.clone()).ok()?;
    (prepared.set_path().to_str() == Some(&evaluated.set)).then_some(prepared)
}

/// What was evaluated in another process.
struct Elsewhere {
    request: Request,
    service: Rc<dyn Service>,
}

impl Far for Elsewhere {
    fn write(&self, store: &HostStore, elements: &BTreeSet<&ContextElem>) -> Result<()> {
        let mut missing = Vec::new();
        for element in elements {
            // Asking keeps it from the collector, also what is only about to be there.
            if !store.is_valid(element.path())? {
                missing.push(*element);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let store_dir = StoreDir::default();
        let order = Order::Write {
            wanted: Wanted::of(&self.request),
            elements: missing.iter().map(|element| element.encode(&store_dir)).collect(),
        };
        if self.service.ask(&order) == Some(Answer::Written) {
            return Ok(());
        }
        // The other process has gone, or does not remember: the same once more, here.
        let again = cloud::prepare_cold(&self.request, cloud::door(&self.request))?;
        again.io.add_all(store, missing).map(drop)
    }
}
