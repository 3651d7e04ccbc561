//! Putting a generation in effect: steps, journal, and the way back.

use crate::agent::Agent;
use crate::error::{AgentError, PartError, Result};
use crate::failpoints::Injected;
use crate::fleet::Targets;
use crate::journal::{self, Direction, Journal};
use crate::machines::boot_id;
use crate::steps::{self, Steps};
use crate::target::Loaded;
use crate::wire::{Activation, Failure, Outcome};
use futures_util::future::join_all;
use hc_spec::machine::Kind;
use hc_spec::{HostSpec, Name, Plan};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Names of the steps of an activation, in order, as failpoints call them.
pub const STEPS: &[&str] =
    &["generation", "networks", "switch", "machines", "ready", "record", "retire"];

/// One step of an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The new generation's link, a garbage collector root.
    Generation,
    /// Networks the new set has.
    Networks,
    /// `current`: from here on, a crash is finished and not undone.
    Switch,
    /// Stop what left, restart what changed, start what is new.
    Machines,
    /// Wait for those that were started.
    Ready,
    /// Where a rollback goes, and whose manual stop is over.
    Record,
    /// Networks that only the old set had.
    Retire,
}

/// Longest time an activation may take: an instant that far away can still be computed.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// Time to find out what is ready already, where the deadline passed without an agent.
const GLANCE: Duration = Duration::from_secs(1);

const ALL: &[Step] = &[
    Step::Generation,
    Step::Networks,
    Step::Switch,
    Step::Machines,
    Step::Ready,
    Step::Record,
    Step::Retire,
];

/// An activation under way.
pub(crate) struct Activate<'a> {
    agent: &'a Agent,
    journal: Journal,
    old: Option<Loaded>,
    new: Loaded,
    plan: Plan,
    deadline: Instant,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error(transparent)]
    Agent(#[from] AgentError),
    #[error(transparent)]
    Injected(#[from] Injected),
    #[error("{}", reasons(.0))]
    NotReady(Vec<Failure>),
}

fn reasons(failures: &[Failure]) -> String {
    let one = |f: &Failure| match &f.machine {
        Some(machine) => format!("{machine}: {}", f.reason),
        None => f.reason.clone(),
    };
    failures.iter().map(one).collect::<Vec<_>>().join("; ")
}

impl StepError {
    fn failures(self) -> Vec<Failure> {
        match self {
            Self::NotReady(failures) => failures,
            error => vec![Failure {
                machine: None,
                reason: error.to_string(),
                exit: None,
                log: Vec::new(),
            }],
        }
    }
}

/// What is to be put in effect.
pub(crate) enum Wanted {
    /// A machine set, as a new generation.
    Set(PathBuf),
    /// A generation that is there.
    Generation(u64),
}

impl<'a> Activate<'a> {
    /// Puts `wanted` in effect, or what was in effect before.
    pub(crate) async fn to(
        agent: &'a Agent,
        wanted: Wanted,
        timeout: Option<Duration>,
    ) -> Result<Activation> {
        if let Some(journal) = journal::read(&agent.config.state_dir)? {
            // Left by an activation that could not be undone.
            Self::recover(agent, journal).await?;
        }
        let old = agent.generations.current()?;
        let old_set = old.map(|n| agent.generations.set(n)).transpose()?;
        let (new, set, made) = match wanted {
            Wanted::Set(set) => (agent.generations.next()?, set, true),
            Wanted::Generation(n) => (n, agent.generations.set(n)?, false),
        };
        if old == Some(new) || (made && old_set.as_ref() == Some(&set)) {
            return Ok(unchanged(old, old_set, agent));
        }
        let journal = Journal {
            old,
            new,
            set,
            made,
            previous: agent.generations.previous()?,
            step: Direction::Forward,
            deadline: 0,
            boot_id: boot_id(),
        };
        let mut this = Self::load(agent, journal)?;
        let timeout = timeout.unwrap_or_else(|| this.patience()).min(LONGEST);
        this.deadline = Instant::now() + timeout;
        let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        this.journal.deadline = unix_millis().saturating_add(millis);
        journal::write(&agent.config.state_dir, &this.journal)?;
        this.forward().await
    }

    fn load(agent: &'a Agent, journal: Journal) -> Result<Self> {
        let new = agent.load(&journal.set)?;
        let old = journal.old.map(|n| agent.generations.set(n).and_then(|set| agent.load(&set)));
        let old = old.transpose()?;
        let was = old.as_ref().map(Loaded::as_set);
        let plan = Plan::between(was.as_ref(), Some(&new.as_set()));
        Ok(Self { agent, journal, old, new, plan, deadline: Instant::now() })
    }

    /// How long the machines themselves allow at most.
    fn patience(&self) -> Duration {
        let limit = |name: &Name| {
            let stop = self.old.as_ref().and_then(|o| o.targets.get(name));
            let stop = stop.map_or(Duration::ZERO, |t| t.stop_timeout);
            let ready = self.new.targets.get(name).map_or(0, |t| t.ready.timeout_sec);
            stop + Duration::from_secs(ready.into())
        };
        let longest = self.started().map(limit).max().unwrap_or_default();
        longest + Duration::from_secs(10)
    }

    fn started(&self) -> impl Iterator<Item = &Name> {
        self.plan.start.iter().chain(&self.plan.restart)
    }

    /// Finishes or undoes what an agent before this one was at.
    pub(crate) async fn recover(agent: &'a Agent, journal: Journal) -> Result<Activation> {
        let mut this = Self::load(agent, journal)?;
        let current = agent.generations.current()?;
        let finish = this.journal.step == Direction::Forward && current == Some(this.journal.new);
        tracing::warn!(new = this.journal.new, old = this.journal.old, finish, "going on");
        if !finish {
            let why = Failure {
                machine: None,
                reason: "the agent ended before it was done".into(),
                exit: None,
                log: Vec::new(),
            };
            return this.back(vec![why]).await;
        }
        let left = if this.journal.boot_id == boot_id() {
            let left = Duration::from_millis(this.journal.deadline.saturating_sub(unix_millis()));
            left.clamp(GLANCE, LONGEST)
        } else {
            // The deadline was about machines that this boot has not started yet.
            this.patience()
        };
        this.deadline = Instant::now() + left;
        this.forward().await
    }

    async fn forward(mut self) -> Result<Activation> {
        let begun = Instant::now();
        let prepared = self.prepare().await;
        // The machines have their time from when they are switched.
        self.deadline += begun.elapsed();
        let done = match prepared {
            Ok(()) => steps::run(&self, &self.agent.config.failpoints).await,
            failed => failed,
        };
        match done {
            Ok(()) => {
                journal::clear(&self.agent.config.state_dir)?;
                self.agent.set_problem(None);
                Ok(self.result(Outcome::Activated, Vec::new()))
            }
            Err(error) => {
                tracing::warn!(%error, generation = self.journal.new, "going back");
                self.journal.step = Direction::Back;
                journal::write(&self.agent.config.state_dir, &self.journal)?;
                self.back(error.failures()).await
            }
        }
    }

    /// What virtual machines' first starts would wait for is made while what runs goes on running.
    async fn prepare(&self) -> std::result::Result<(), StepError> {
        let virtual_ones = self.started().filter_map(|name| {
            let target = self.new.targets.get(name)?;
            (target.kind != Kind::Container).then(|| (name.clone(), target.closure.clone()))
        });
        let machines: Vec<_> = virtual_ones.collect();
        if machines.is_empty() {
            return Ok(());
        }
        let doing = self.agent.doing();
        let failed = self.agent.fleet.prepare(machines, doing).await?;
        if failed.is_empty() { Ok(()) } else { Err(StepError::NotReady(failed)) }
    }

    async fn back(self, failures: Vec<Failure>) -> Result<Activation> {
        match steps::undo(&self, &self.agent.config.failpoints).await {
            Ok(()) => {
                journal::clear(&self.agent.config.state_dir)?;
                self.agent.set_problem(None);
                Ok(self.result(Outcome::RolledBack, failures))
            }
            Err(undone) => {
                let text = |(step, error)| format!("{step}: {error}");
                let undo = undone.into_iter().map(text).collect::<Vec<_>>().join("; ");
                let stuck = AgentError::Stuck { failed: reasons(&failures), undo };
                self.agent.set_problem(Some(stuck.to_string()));
                Err(stuck)
            }
        }
    }

    fn result(&self, outcome: Outcome, failures: Vec<Failure>) -> Activation {
        let generation = match outcome {
            Outcome::RolledBack => self.journal.old,
            _ => Some(self.journal.new),
        };
        let plan = self.plan.clone();
        Activation {
            outcome,
            generation,
            set: generation.and_then(|n| self.agent.generations.set(n).ok()),
            changed: plan.start.len() + plan.restart.len() + plan.stop.len(),
            started: plan.start,
            restarted: plan.restart,
            stopped: plan.stop,
            kept: plan.keep.len(),
            failures,
        }
    }

    async fn apply(&self, loaded: Option<&Loaded>) -> Result<()> {
        let none = Targets::new();
        self.agent.fleet.apply(loaded.map_or(&none, |l| &l.targets)).await?;
        self.agent.publish();
        Ok(())
    }

    async fn wait<'n>(
        &self,
        names: impl Iterator<Item = &'n Name>,
        deadline: Instant,
    ) -> std::result::Result<(), StepError> {
        let all = join_all(names.map(|n| self.agent.fleet.ready(n, Some(deadline)))).await;
        self.agent.publish();
        let failures: Vec<Failure> = all.into_iter().filter_map(|r| r.err()).collect();
        if failures.is_empty() { Ok(()) } else { Err(StepError::NotReady(failures)) }
    }

    async fn remove_networks(&self, of: &HostSpec, but: Option<&HostSpec>) -> Result<()> {
        let gone = only_in(of, but);
        if gone.is_empty() {
            return Ok(());
        }
        self.agent.disconnect(of, &gone).await
    }

    /// Takes away what the network keeps of machines that `before` has and `after` has not, or has
    /// on fewer networks.
    async fn forget(&self, before: Option<&Loaded>, after: Option<&Loaded>) -> Result<()> {
        let Some(before) = before else { return Ok(()) };
        let stays = |machine: &Name, network: &Name| {
            let target = after.and_then(|a| a.targets.get(machine));
            target.is_some_and(|t| t.networks.contains(network))
        };
        let gone = before.targets.iter().map(|(machine, target)| {
            let left = target.networks.iter().filter(|n| !stays(machine, n));
            (machine.clone(), left.cloned().collect::<Vec<_>>())
        });
        let gone: Vec<_> = gone.filter(|(_, left)| !left.is_empty()).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let failed = |source: PartError| AgentError::Part { what: "forget machines", source };
        self.agent.networks.forget(&before.host, &gone).await.map_err(failed)
    }

    fn generation(&self) -> Result<()> {
        let Journal { new, ref set, .. } = self.journal;
        self.agent.generations.add(new, set)?;
        let root = self.agent.roots.add_root(&self.agent.generations.link(new));
        root.map_err(|source| AgentError::Part { what: "keep the machine set", source })
    }

    fn no_generation(&self) -> Result<()> {
        if self.agent.generations.current()? == Some(self.journal.new) {
            // Switching back has failed, and has said so: `current` must not point to nothing.
            return Ok(());
        }
        let link = self.agent.generations.link(self.journal.new);
        self.agent.generations.remove(self.journal.new)?;
        let root = self.agent.roots.remove_root(&link);
        root.map_err(|source| AgentError::Part { what: "let the machine set go", source })
    }
}

impl Steps for Activate<'_> {
    type Step = Step;
    type Error = StepError;

    fn steps(&self) -> &[Step] {
        ALL
    }

    fn name(step: Step) -> &'static str {
        STEPS[step as usize]
    }

    async fn run(&self, step: Step) -> std::result::Result<(), StepError> {
        let generations = &self.agent.generations;
        match step {
            Step::Generation if self.journal.made => self.generation()?,
            Step::Generation => {}
            Step::Networks => self.agent.connect(&self.new.host).await?,
            Step::Switch => generations.switch(Some(self.journal.new))?,
            Step::Machines => self.apply(Some(&self.new)).await?,
            Step::Ready => self.wait(self.started(), self.deadline).await?,
            Step::Record => {
                generations.set_previous(self.journal.old)?;
                self.agent.fleet.settle(&self.plan.restart, &self.new.targets)?;
            }
            Step::Retire => {
                self.forget(self.old.as_ref(), Some(&self.new)).await?;
                if let Some(old) = &self.old {
                    self.remove_networks(&old.host, Some(&self.new.host)).await?;
                }
            }
        }
        Ok(())
    }

    async fn undo(&self, step: Step) -> std::result::Result<(), StepError> {
        let generations = &self.agent.generations;
        match step {
            Step::Retire => {
                if let Some(old) = &self.old {
                    self.agent.connect(&old.host).await?;
                }
            }
            Step::Record => generations.set_previous(self.journal.previous)?,
            Step::Ready => {}
            Step::Machines => {
                self.apply(self.old.as_ref()).await?;
                // Those that came back are given their time; that one of them does not get
                // ready is no reason to do anything else.
                let back = self.plan.restart.iter().chain(&self.plan.stop);
                let _ = self.wait(back, Instant::now() + self.patience_back()).await;
            }
            Step::Switch => generations.switch(self.journal.old)?,
            Step::Networks => {
                self.forget(Some(&self.new), self.old.as_ref()).await?;
                let old = self.old.as_ref().map(|o| &o.host);
                self.remove_networks(&self.new.host, old).await?;
                // What stays has the old allowances and ports again.
                if let Some(old) = old {
                    self.agent.connect(old).await?;
                }
            }
            Step::Generation if self.journal.made => self.no_generation()?,
            Step::Generation => {}
        }
        Ok(())
    }
}

impl Activate<'_> {
    fn patience_back(&self) -> Duration {
        let targets = self.old.iter().flat_map(|o| o.targets.values());
        let ready = targets.map(|t| t.ready.timeout_sec).max().unwrap_or_default();
        Duration::from_secs(u64::from(ready) + 1)
    }
}

/// Networks of `host` that `other` does not have; all of them when the host has another name.
fn only_in(host: &HostSpec, other: Option<&HostSpec>) -> Vec<Name> {
    let same = other.filter(|o| (&o.cloud, &o.host) == (&host.cloud, &host.host));
    let kept = |name: &Name| same.is_some_and(|o| o.networks.contains_key(name));
    host.networks.keys().filter(|name| !kept(name)).cloned().collect()
}

fn unchanged(generation: Option<u64>, set: Option<PathBuf>, agent: &Agent) -> Activation {
    Activation {
        outcome: Outcome::Unchanged,
        generation,
        set,
        changed: 0,
        started: Vec::new(),
        restarted: Vec::new(),
        stopped: Vec::new(),
        kept: agent.fleet.count().0,
        failures: Vec::new(),
    }
}

pub(crate) fn unix_millis() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// The set as somebody named it, without what does not matter.
pub(crate) fn plain_path(set: &Path) -> PathBuf {
    set.components().collect()
}
