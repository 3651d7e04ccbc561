//! The side that keeps evaluators.

use super::{Answer, Evaluated, EvaluatedMachine, Order, Wanted};
use crate::assemble::{Door, Prepared};
use crate::cloud::{Request, assemble, evaluate, restful_door, settings};
use crate::store_io::StoreIo;
use crate::warm::GROWTH;
use crate::{Error, Result};
use nix_compat::StoreDir;
use nix_lang::{Arena, ContextElem, Evaluator};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, Sender, channel};

/// How many evaluators are kept; the one that was not used for longest goes first.
const MOST: usize = 4;

/// Evaluators that are kept for the next time, each on a thread of its own.
pub struct Evaluators<F> {
    open: F,
    /// The one used last is the last one.
    kept: Vec<Kept>,
}

struct Kept {
    wanted: Wanted,
    orders: Sender<Order>,
    answers: Receiver<Life>,
}

/// An answer, and whether there will be more of them.
struct Life(Answer, bool);

thread_local! {
    /// What fetching said in this turn, each thing once: an evaluator asks more often than a cold run.
    static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// Whether `trace` or `warn` spoke.
    static TRACED: Cell<bool> = const { Cell::new(false) };
}

fn said(text: &str) {
    SAID.with_borrow_mut(|all| {
        if !all.iter().any(|one| one == text) {
            all.push(text.to_owned());
        }
    });
}

fn traced(_: &str) {
    TRACED.set(true);
}

fn declined(why: impl Into<String>) -> Answer {
    Answer::Declined { why: why.into() }
}

impl<F: Fn(&Wanted) -> Result<Request>> Evaluators<F> {
    /// Keeps none yet. `open` makes the whole request of what is said of it.
    pub fn new(open: F) -> Self {
        Self { open, kept: Vec::new() }
    }

    /// Does what is wanted, or declines to.
    pub fn answer(&mut self, order: Order) -> Answer {
        let at = self.kept.iter().position(|kept| kept.wanted == *order.wanted());
        let kept = match (at, &order) {
            (Some(at), _) => self.kept.remove(at),
            (None, Order::Warm(wanted)) => match (self.open)(wanted) {
                Ok(request) => Kept::begin(wanted.clone(), request),
                Err(error) => return declined(error.to_string()),
            },
            (None, _) => return declined("it was not evaluated here before"),
        };
        let warming = matches!(order, Order::Warm(_));
        let answered = kept.orders.send(order).ok().and_then(|()| kept.answers.recv().ok());
        let Some(Life(answer, goes_on)) = answered else {
            return declined("the evaluator ended");
        };
        if goes_on {
            self.kept.push(kept);
            if self.kept.len() > MOST {
                self.kept.remove(0);
            }
        }
        match answer {
            Answer::Evaluated(_) if warming => Answer::Warm { kept: self.kept.len() },
            answer => answer,
        }
    }
}

impl Kept {
    fn begin(wanted: Wanted, mut request: Request) -> Self {
        request.message = traced;
        if let Some(fetch) = &mut request.fetch {
            fetch.message = said;
        }
        let (orders, orders_out) = channel();
        let (answers_in, answers) = channel();
        // It ends with the evaluation: nobody waits for it, and its channels close.
        std::thread::spawn(move || {
            nix_lang::on_big_stack(move || live(&request, &orders_out, &answers_in))
        });
        Self { wanted, orders, answers }
    }
}

/// The life of one evaluator.
fn live(request: &Request, orders: &Receiver<Order>, answers: &Sender<Life>) {
    // A lock file that has to be written is said to be: that makes it a message, and the answer none.
    let io = restful_door(request).without_locks();
    let arena = Arena::new();
    let nix = Evaluator::warm(&arena, &io, settings(request));
    let mut first_size = 0;
    while let Ok(order) = orders.recv() {
        // What was written for somebody is theirs by now.
        io.rest();
        let life = match order {
            Order::Write { elements, .. } => Life(write(&io, &elements), true),
            Order::Evaluate(_) | Order::Warm(_) => {
                SAID.take();
                TRACED.set(false);
                // Everything that was read is looked at again, as for a result that was kept in a file.
                let evaluated = nix.again(None, |nix| evaluate(nix, request));
                let prepared = evaluated.and_then(|evaluated| assemble(Door::Lent(&io), evaluated));
                io.rest();
                let spoiled = first_size > 0 && nix.is_spoiled();
                first_size = if first_size == 0 { arena.size() } else { first_size };
                // `trace` speaks again only where something runs again: such a cloud is for a cold run.
                if TRACED.get() {
                    Life(declined("evaluation prints messages"), false)
                } else if spoiled {
                    Life(declined("other files are tracked than before"), false)
                } else {
                    let kept = arena.size() <= GROWTH * first_size;
                    Life(render(prepared, kept), kept)
                }
            }
        };
        let goes_on = life.1;
        if answers.send(life).is_err() || !goes_on {
            return;
        }
    }
}

fn render(prepared: Result<Prepared<'_>>, kept: bool) -> Answer {
    let messages = SAID.take();
    let store = StoreDir::default();
    match prepared {
        Err(error) => Answer::Failed { report: whole(&error), messages },
        Ok(prepared) => {
            let machine = |machine: &crate::assemble::Machine| EvaluatedMachine {
                text: machine.text.clone(),
                references: machine.references.iter().map(|path| store.render_path(path)).collect(),
                context: machine.context.iter().map(|element| element.encode(&store)).collect(),
            };
            Answer::Evaluated(Box::new(Evaluated {
                set: store.render_path(&prepared.set),
                host: prepared.host_text.clone(),
                machines: prepared.machines.values().map(machine).collect(),
                warnings: prepared.warnings().to_vec(),
                messages,
                kept,
            }))
        }
    }
}

/// An error with its causes, none of them twice.
fn whole(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

fn write(io: &StoreIo, elements: &[String]) -> Answer {
    let decoded: Option<BTreeSet<ContextElem>> =
        elements.iter().map(|text| ContextElem::decode(text, &StoreDir::default())).collect();
    let Some(decoded) = decoded else { return declined("what is to be written makes no sense") };
    match io.store().and_then(|store| io.add_all(&store, &decoded)) {
        Ok(_) => Answer::Written,
        Err(error) => declined(whole(&error)),
    }
}
