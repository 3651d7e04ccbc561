//! All machines of the host: what they are to be, and waiting until they are.

use crate::error::{AgentError, Result};
use crate::goal::{Goal, View};
use crate::machine::Keeper;
use crate::machines::{Machines, boot_id};
use crate::networks::MachineName;
use crate::process::Process;
use crate::restarts::Restarts;
use crate::status::Phase;
use crate::target::Target;
use crate::wire::{Failure, MachineView};
use hc_fs::durable;
use hc_runtime::volumes::VolumeName;
use hc_spec::Name;
use hc_spec::machine::Kind;
use hc_spec::storage::Snapshots;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub(crate) type Targets = BTreeMap<Name, Arc<Target>>;

pub(crate) struct Fleet {
    machines: Arc<dyn Machines>,
    state_dir: PathBuf,
    store_root: Option<PathBuf>,
    boot_id: Arc<str>,
    starts: Arc<Semaphore>,
    members: Mutex<BTreeMap<Name, Member>>,
    /// Told whenever a machine becomes ready, starts or is no longer ready.
    pub ready_changed: Arc<Notify>,
}

struct Member {
    goal: watch::Sender<Goal>,
    view: watch::Receiver<View>,
    task: JoinHandle<()>,
}

/// A start waits for the kernel about as long as it works.
fn starts_at_once() -> usize {
    4 * std::thread::available_parallelism().map_or(2, usize::from)
}

impl Fleet {
    pub(crate) fn new(
        machines: Arc<dyn Machines>,
        state_dir: PathBuf,
        store_root: Option<PathBuf>,
    ) -> Self {
        Self {
            machines,
            state_dir,
            store_root,
            boot_id: boot_id().into(),
            starts: Arc::new(Semaphore::new(starts_at_once())),
            members: Mutex::default(),
            ready_changed: Arc::default(),
        }
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<Name, Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, name: &Name, goal: Goal) -> Member {
        let (goal, goal_end) = watch::channel(goal);
        let (view_end, view) = watch::channel(View::default());
        let store = self.store_root.clone();
        let keeper = Keeper {
            name: name.clone(),
            machines: Arc::clone(&self.machines),
            goal: goal_end,
            view: view_end,
            ready_changed: Arc::clone(&self.ready_changed),
            stop_timeout: Arc::new(move |name, closure| {
                Target::load(store.as_deref(), name, closure)
                    .map_or(Duration::from_secs(10), |t| t.stop_timeout)
            }),
            boot_id: Arc::clone(&self.boot_id),
            starts: Arc::clone(&self.starts),
            restarts: Restarts::default(),
        };
        Member { goal, view, task: tokio::spawn(keeper.keep()) }
    }

    /// What `name` runs, if that is `closure`.
    pub(crate) fn known(&self, name: &Name, closure: &Path) -> Option<Arc<Target>> {
        let members = self.members();
        let target = members.get(name)?.goal.borrow().target.clone();
        target.filter(|t| t.closure == closure)
    }

    /// Makes `targets` what there is to be. Machines whose closure is the same are not touched.
    /// Returns when those that leave are gone.
    pub(crate) async fn apply(&self, targets: &Targets) -> Result<()> {
        let mut leaving: Vec<Name> = self.machines.known()?;
        {
            let mut members = self.members();
            leaving.extend(members.keys().cloned());
            leaving.sort();
            leaving.dedup();
            leaving.retain(|name| !targets.contains_key(name));
            for (name, target) in targets {
                let stopped = self.stopped(name).as_deref() == Some(&*target.closure);
                let goal =
                    |version, run| Goal { version, run, target: Some(Arc::clone(target)), stopped };
                let Some(member) = members.get(name).filter(|m| !m.task.is_finished()) else {
                    members.insert(name.clone(), self.keep(name, goal(1, 0)));
                    continue;
                };
                member.goal.send_if_modified(|now| {
                    let same = now.target.as_ref().is_some_and(|t| t.closure == target.closure);
                    if !same {
                        *now = goal(now.version + 1, now.run);
                    }
                    !same
                });
            }
            for name in &leaving {
                // One nobody keeps was left by an agent that was killed.
                let member =
                    members.entry(name.clone()).or_insert_with(|| self.keep(name, Goal::default()));
                member.goal.send_modify(|now| {
                    *now = Goal { version: now.version + 1, run: now.run, ..Goal::default() };
                });
            }
        }
        self.gone(&leaving).await;
        Ok(())
    }

    /// Makes ready what starts of these machines would wait for, and gives those that could not be started.
    pub(crate) async fn prepare(
        &self,
        machines: Vec<(Name, PathBuf)>,
        say: impl Fn(String) + Send + 'static,
    ) -> Result<Vec<Failure>> {
        let with = Arc::clone(&self.machines);
        let prepared = tokio::task::spawn_blocking(move || with.prepare(&machines, &say)).await;
        let what = "prepare machines";
        let failed = prepared
            .map_err(|error| AgentError::Part { what, source: error.into() })
            .and_then(|prepared| prepared)?;
        let failure = |(name, reason)| self.failure(&name, reason, &View::default());
        Ok(failed.into_iter().map(failure).collect())
    }

    /// Waits until each machine is found running, or found not to be.
    pub(crate) async fn seen(&self) {
        let views: Vec<_> = {
            let members = self.members();
            members.values().map(|m| (m.goal.borrow().version, m.view.clone())).collect()
        };
        for (version, mut view) in views {
            let _ = view.wait_for(|view| view.version >= version).await;
        }
    }

    async fn gone(&self, leaving: &[Name]) {
        for name in leaving {
            let view = self.members().get(name).map(|m| m.view.clone());
            // The task drops its end when there is no such machine any more.
            if let Some(mut view) = view {
                while view.changed().await.is_ok() {}
            }
            self.members().remove(name);
            let _ = durable::remove_file(&self.stopped_file(name));
        }
    }

    /// Waits until `name` is ready for the goal it has now: no longer than its own limit after
    /// it was started, and not beyond `deadline`.
    pub(crate) async fn ready(
        &self,
        name: &Name,
        deadline: Option<Instant>,
    ) -> Result<(), Failure> {
        let found = {
            let members = self.members();
            members.get(name).map(|m| (m.goal.borrow().clone(), m.view.clone()))
        };
        let Some((Goal { version, target: Some(target), .. }, mut view)) = found else {
            return Err(self.failure(name, "there is no such machine".into(), &View::default()));
        };
        let own = Duration::from_secs(target.ready.timeout_sec.into());
        loop {
            let now = view.borrow_and_update().clone();
            let mine = now.version == version;
            if mine && let Some(said) = now.verdict(target.ready.when) {
                return said.map_err(|why| self.failure(name, why, &now));
            }
            let limit = now.spawned.filter(|_| mine).map(|at| at + own);
            let limit = limit.into_iter().chain(deadline).min();
            let expired = async {
                match limit {
                    Some(limit) => tokio::time::sleep_until(limit).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = view.changed() => if changed.is_err() {
                    return Err(self.failure(name, "it was taken away".into(), &now));
                },
                () = expired => {
                    let why = if deadline.is_some_and(|d| d <= Instant::now()) {
                        format!("not ready at the deadline, it is still {}", now.phase)
                    } else {
                        format!("not ready after {} s, it is still {}", own.as_secs(), now.phase)
                    };
                    return Err(self.failure(name, why, &now));
                }
            }
        }
    }

    fn failure(&self, name: &Name, reason: String, view: &View) -> Failure {
        let log = self.machines.log_tail(name, view.spawned_at);
        Failure { machine: Some(name.clone()), reason, exit: view.exit.clone(), log }
    }

    /// All machines, by name.
    pub(crate) fn views(&self) -> Vec<MachineView> {
        self.members().iter().filter_map(|(name, m)| m.show(name)).collect()
    }

    pub(crate) fn view(&self, name: &Name) -> Result<MachineView> {
        let shown = self.members().get(name).and_then(|m| m.show(name));
        shown.ok_or_else(|| AgentError::NoMachine(name.to_string()))
    }

    pub(crate) fn names(&self) -> Vec<MachineName> {
        let name = |(name, m): (&Name, &Member)| {
            let target = m.goal.borrow().target.clone()?;
            let (networks, lan, kind) = (target.networks.clone(), target.lan.clone(), target.kind);
            let (phase, payload) = {
                let view = m.view.borrow();
                (view.phase, view.payload)
            };
            let state = phase.for_names();
            let runs = matches!(phase, Phase::Running | Phase::Ready);
            let payload = payload.filter(|_| runs);
            let inside = payload.filter(|_| kind == Kind::Container);
            let emulator = payload.filter(|_| kind != Kind::Container);
            let name = name.clone();
            Some(MachineName { name, networks, lan, state, runs, inside, emulator })
        };
        self.members().iter().filter_map(name).collect()
    }

    /// Volumes that snapshots are made of, and when.
    pub(crate) fn schedules(&self) -> Vec<(VolumeName, Snapshots)> {
        let mut all = Vec::new();
        for (machine, member) in &*self.members() {
            let Some(target) = member.goal.borrow().target.clone() else { continue };
            for (volume, schedule) in &target.schedules {
                let (machine, volume) = (machine.clone(), volume.clone());
                all.push((VolumeName { machine, volume }, *schedule));
            }
        }
        all
    }

    /// Told of machines that are none of these.
    pub(crate) fn others(&self) -> Arc<Notify> {
        self.machines.others()
    }

    /// Number of machines, and of those that are ready.
    pub(crate) fn count(&self) -> (usize, usize) {
        let members = self.members();
        let ready = |m: &&Member| m.view.borrow().phase == Phase::Ready;
        (members.len(), members.values().filter(ready).count())
    }

    fn stopped_file(&self, name: &Name) -> PathBuf {
        self.state_dir.join("machines").join(name.as_str()).join("stopped")
    }

    /// The closure that somebody stopped: another one is started all the same.
    fn stopped(&self, name: &Name) -> Option<PathBuf> {
        std::fs::read_to_string(self.stopped_file(name)).ok().map(|t| t.trim_end().into())
    }

    /// Forgets that machines among `changed` were stopped which now have another closure.
    pub(crate) fn settle(&self, changed: &[Name], targets: &Targets) -> Result<()> {
        for name in changed {
            let now = targets.get(name).map(|t| &t.closure);
            if self.stopped(name).is_some_and(|closure| Some(&closure) != now) {
                durable::remove_file(&self.stopped_file(name))?;
            }
        }
        Ok(())
    }

    /// Changes the goal of one machine. `change` says whether anything changed.
    fn ask(&self, name: &Name, change: impl FnOnce(&mut Goal, &View) -> bool) -> Result<()> {
        let members = self.members();
        let missing = || AgentError::NoMachine(name.to_string());
        let member = members.get(name).ok_or_else(missing)?;
        if member.goal.borrow().target.is_none() {
            return Err(missing());
        }
        let view = member.view.borrow().clone();
        member.goal.send_if_modified(|goal| {
            let changed = change(goal, &view);
            goal.version += u64::from(changed);
            changed
        });
        Ok(())
    }

    pub(crate) fn start(&self, name: &Name) -> Result<()> {
        self.ask(name, |_, _| false)?;
        durable::remove_file(&self.stopped_file(name))?;
        self.ask(name, |goal, view| {
            let resting = matches!(view.phase, Phase::Backoff | Phase::Exited | Phase::Failed);
            std::mem::take(&mut goal.stopped) || resting
        })
    }

    pub(crate) fn restart(&self, name: &Name) -> Result<()> {
        self.ask(name, |_, _| false)?;
        durable::remove_file(&self.stopped_file(name))?;
        self.ask(name, |goal, _| {
            goal.stopped = false;
            goal.run += 1;
            true
        })
    }

    pub(crate) async fn stop(&self, name: &Name) -> Result<()> {
        let mut closure = None;
        self.ask(name, |goal, _| {
            closure = goal.target.as_ref().map(|t| t.closure.clone());
            false
        })?;
        let file = self.stopped_file(name);
        let text = closure.unwrap_or_default().into_os_string();
        durable::create_dir_all(file.parent().unwrap_or(&self.state_dir), 0o755)?;
        durable::write(&file, text.as_encoded_bytes(), 0o644)?;
        self.ask(name, |goal, _| !std::mem::replace(&mut goal.stopped, true))?;
        self.at_rest(name).await;
        Ok(())
    }

    async fn at_rest(&self, name: &Name) {
        let found = {
            let members = self.members();
            members.get(name).map(|m| (m.goal.borrow().version, m.view.clone()))
        };
        let Some((version, mut view)) = found else { return };
        loop {
            let now = view.borrow_and_update().clone();
            if now.version > version || (now.version == version && now.phase == Phase::Stopped) {
                return;
            }
            if view.changed().await.is_err() {
                return;
            }
        }
    }

    /// Stops everything; what was stopped by hand stays recorded, the rest comes back next time.
    pub(crate) async fn stop_all(&self) {
        let names: Vec<Name> = self.members().keys().cloned().collect();
        for name in &names {
            let _ = self.ask(name, |goal, _| !std::mem::replace(&mut goal.stopped, true));
        }
        for name in &names {
            self.at_rest(name).await;
        }
    }
}

impl Member {
    fn show(&self, name: &Name) -> Option<MachineView> {
        let target = self.goal.borrow().target.clone()?;
        let view = self.view.borrow().clone();
        Some(MachineView {
            name: name.clone(),
            kind: Some(target.kind),
            phase: view.phase,
            ready: view.phase == Phase::Ready,
            pid: view.payload,
            supervisor_pid: view.supervisor.map(|(pid, _)| pid),
            uptime_ms: view.supervisor.map(|(_, start)| Process::uptime_ms(start)),
            restarts: view.restarts,
            closure: target.closure.clone(),
            networks: target.networks.clone(),
            addresses: view.addresses,
            text: view.text,
            exit: view.exit,
            fork_of: None,
        })
    }
}
