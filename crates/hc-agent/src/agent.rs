//! The agent's state, and what it does when it starts and ends.

use crate::activate::{self, Activate};
use crate::config::AgentConfig;
use crate::error::{AgentError, PartError, Result};
use crate::evaluator::Evaluator;
use crate::fleet::Fleet;
use crate::forks;
use crate::generations::Generations;
use crate::journal;
use crate::machines::Machines;
use crate::networks::{MachineName, Networks, OverlayView};
use crate::process::Process;
use crate::roots::Roots;
use crate::target::Loaded;
use crate::wire::{AgentStatus, Failure, InProgress};
use hc_spec::{HostSpec, Name};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard, watch};

pub(crate) struct Agent {
    pub config: AgentConfig,
    pub generations: Generations,
    pub fleet: Fleet,
    pub networks: Arc<dyn Networks>,
    pub roots: Arc<dyn Roots>,
    pub evaluator: Evaluator,
    pub since: u64,
    /// Told when the agent is to end.
    pub ending: Notify,
    host: Mutex<Option<HostSpec>>,
    /// Whether the networks and names of `host` are all there.
    pub connected: AtomicBool,
    /// Whether all networks of `host` were taken away for good, so that none of it is put back. A host whose
    /// machines are on wires alone has no networks either.
    pub dismantled: AtomicBool,
    /// Held by whoever makes, mends or takes away networks.
    network: AsyncMutex<()>,
    problem: Mutex<Option<String>>,
    gate: Arc<AsyncMutex<()>>,
    /// Whether what an earlier agent left was dealt with.
    up: watch::Sender<bool>,
    doing: Arc<Mutex<Option<InProgress>>>,
}

/// The right to change what runs. There is one.
pub(crate) struct Pass {
    doing: Arc<Mutex<Option<InProgress>>>,
    _guard: OwnedMutexGuard<()>,
}

impl Drop for Pass {
    fn drop(&mut self) {
        *lock(&self.doing) = None;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Agent {
    pub(crate) fn new(
        config: AgentConfig,
        machines: Arc<dyn Machines>,
        networks: Arc<dyn Networks>,
        roots: Arc<dyn Roots>,
    ) -> Arc<Self> {
        let fleet = Fleet::new(machines, config.state_dir.clone(), config.store_root.clone());
        Arc::new(Self {
            generations: Generations::new(&config.state_dir),
            fleet,
            networks,
            roots,
            evaluator: Evaluator::default(),
            since: activate::unix_millis(),
            ending: Notify::new(),
            host: Mutex::default(),
            connected: AtomicBool::new(false),
            dismantled: AtomicBool::new(false),
            network: AsyncMutex::default(),
            problem: Mutex::default(),
            gate: Arc::default(),
            up: watch::channel(false).0,
            doing: Arc::default(),
            config,
        })
    }

    /// Waits for the right to change what runs, or says who has it.
    pub(crate) async fn enter(&self, by: String, what: String, wait: bool) -> Result<Pass> {
        let gate = Arc::clone(&self.gate);
        let guard = match (wait, Arc::clone(&gate).try_lock_owned()) {
            (_, Ok(guard)) => guard,
            (true, Err(_)) => gate.lock_owned().await,
            (false, Err(_)) => {
                let doing = lock(&self.doing).clone();
                let unknown =
                    || InProgress { by: "somebody".into(), what: "busy".into(), since: 0 };
                let InProgress { by, what, since } = doing.unwrap_or_else(unknown);
                let seconds = activate::unix_millis().saturating_sub(since) / 1000;
                return Err(AgentError::Busy { by, what, since: format!("{seconds} s ago") });
            }
        };
        *lock(&self.doing) = Some(InProgress { by, what, since: activate::unix_millis() });
        Ok(Pass { doing: Arc::clone(&self.doing), _guard: guard })
    }

    /// Changes what whoever asks is told that the agent is at.
    pub(crate) fn doing(&self) -> impl Fn(String) + Send + 'static {
        let doing = Arc::clone(&self.doing);
        move |what| {
            if let Some(doing) = &mut *lock(&doing) {
                doing.what = what;
            }
        }
    }

    pub(crate) fn load(&self, set: &Path) -> Result<Loaded> {
        Loaded::read(self.config.store(), set, |name, closure| self.fleet.known(name, closure))
    }

    /// The machines of the generation, and forks of them, by name.
    fn names(&self) -> Vec<MachineName> {
        let mut names = self.fleet.names();
        names.extend(forks::names(&self.config.run_dir));
        names.sort_by(|a, b| a.name.cmp(&b.name));
        names
    }

    /// Makes all names known, with the readiness there is now.
    pub(crate) fn publish(&self) {
        if let Some(host) = &*lock(&self.host) {
            self.networks.publish(host, &self.names());
        }
    }

    /// Networks and name server for `host`; names are published for it from now on.
    pub(crate) async fn connect(&self, host: &HostSpec) -> Result<()> {
        // Whatever takes a part of it away clears the mark; so does failing half-way.
        if lock(&self.host).as_ref() == Some(host) && self.connected.load(Relaxed) {
            return Ok(());
        }
        let _whole = self.network.lock().await;
        self.connected.store(false, Relaxed);
        let part = |what| move |source: PartError| AgentError::Part { what, source };
        self.networks.ensure(host).await.map_err(part("make the networks"))?;
        *lock(&self.host) = Some(host.clone());
        self.dismantled.store(false, Relaxed);
        self.networks.start_dns(host).await.map_err(part("answer for the machines' names"))?;
        self.connected.store(true, Relaxed);
        Ok(())
    }

    pub(crate) fn status(&self) -> Result<AgentStatus> {
        let generation = self.generations.current()?;
        let (machines, ready) = self.fleet.count();
        Ok(AgentStatus {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            since: self.since,
            generation,
            set: generation.and_then(|n| self.generations.set(n).ok()),
            previous: self.generations.previous()?,
            machines,
            ready,
            activation: lock(&self.doing).clone(),
            problem: lock(&self.problem).clone(),
            evaluator: self.evaluator.status(),
        })
    }

    /// What an agent does first: finish or undo what an earlier one was at, and make what runs
    /// equal to `current`. What cannot be done is kept as `problem`; no machine is touched then.
    pub(crate) async fn come_up(self: &Arc<Self>, pass: Pass) {
        let (run, state) = (self.config.run_dir.clone(), self.config.state_dir.clone());
        // What throw-away machines left whose supervisor was killed.
        let _ = tokio::task::spawn_blocking(move || {
            hc_runtime::sweep(&run, &state, None, &crate::host::ThrowawayNetwork)
        })
        .await;
        let come = async {
            match journal::read(&self.config.state_dir)? {
                Some(journal) => Activate::recover(self, journal).await.map(|_| ()),
                None => self.resume().await,
            }
        };
        let problem = come.await.err().map(|e| e.to_string());
        if let Some(problem) = &problem {
            tracing::error!(%problem, "cannot come up");
        }
        self.set_problem(problem);
        drop(pass);
        self.up.send_replace(true);
    }

    /// Waits a while for what an earlier agent left to be found: until then there is nothing
    /// true to say about machines. Finishing a whole activation is not waited for.
    pub(crate) async fn settled(&self) {
        let mut up = self.up.subscribe();
        let _ = tokio::time::timeout(Duration::from_secs(2), up.wait_for(|up| *up)).await;
    }

    pub(crate) fn set_problem(&self, problem: Option<String>) {
        *lock(&self.problem) = problem;
    }

    async fn resume(&self) -> Result<()> {
        let Some(current) = self.generations.current()? else {
            return self.fleet.apply(&Default::default()).await;
        };
        let loaded = self.load(&self.generations.set(current)?)?;
        // Without a network machines still run; the problem is told all the same.
        let connected = self.connect(&loaded.host).await;
        self.fleet.apply(&loaded.targets).await?;
        self.fleet.seen().await;
        self.publish();
        connected
    }

    /// Keeps the names equal to readiness, as long as the agent lives.
    pub(crate) async fn keep_publishing(self: Arc<Self>) {
        let others = self.fleet.others();
        let mut followed = BTreeSet::new();
        loop {
            tokio::select! {
                () = self.fleet.ready_changed.notified() => {}
                () = others.notified() => {}
            }
            self.publish();
            let supervisors: BTreeSet<_> = forks::supervisors(&self.config.run_dir).collect();
            for &(pid, start) in supervisors.difference(&followed) {
                // One that is killed writes down nothing more.
                let (Ok(Some(process)), others) = (Process::adopt(pid, start), Arc::clone(&others))
                else {
                    continue;
                };
                tokio::spawn(async move {
                    process.wait().await;
                    others.notify_one();
                });
            }
            followed = supervisors;
        }
    }

    /// Puts back what somebody else takes away of the network, as long as the agent lives.
    pub(crate) async fn keep_whole(self: Arc<Self>) {
        /// Between two times: somebody may take it away as fast as it is put back.
        const PAUSE: Duration = Duration::from_millis(100);
        /// Before it is tried again.
        const AGAIN: Duration = Duration::from_secs(1);
        loop {
            match self.networks.loss().await {
                Ok(what) => {
                    while let Err(error) = self.mend().await {
                        tracing::error!(%error, "somebody took away {what}");
                        tokio::time::sleep(AGAIN).await;
                    }
                    tracing::warn!("somebody took away {what}; it is back");
                }
                Err(error) => {
                    tracing::error!(%error, "what others take away of the network is not noticed");
                    return;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The overlay there is.
    pub(crate) fn overlay(&self) -> Result<Option<OverlayView>> {
        let failed = |source| AgentError::Part { what: "tell of the other hosts", source };
        self.networks.overlay().map_err(failed)
    }

    /// Makes the network what it is to be, again.
    pub(crate) async fn mend(&self) -> Result<()> {
        let _whole = self.network.lock().await;
        let host = lock(&self.host).clone().filter(|_| !self.dismantled.load(Relaxed));
        let Some(host) = host else { return Ok(()) };
        let failed = |source| AgentError::Part { what: "put the network back", source };
        self.networks.mend(&host, &self.names()).await.map_err(failed)
    }

    /// Takes networks of `of` away, for good: they are not put back.
    pub(crate) async fn disconnect(&self, of: &HostSpec, gone: &[Name]) -> Result<()> {
        let _whole = self.network.lock().await;
        self.connected.store(false, Relaxed);
        if let Some(host) = &mut *lock(&self.host)
            && (&host.cloud, &host.host) == (&of.cloud, &of.host)
        {
            let had = !host.networks.is_empty();
            host.networks.retain(|network, _| !gone.contains(network));
            self.dismantled.store(had && host.networks.is_empty(), Relaxed);
        }
        let failed = |source| AgentError::Part { what: "take networks away", source };
        self.networks.remove(of, gone).await.map_err(failed)
    }

    /// Stops all machines and takes the networks away. They come back with the next agent.
    pub(crate) async fn stop_machines(&self) -> Result<()> {
        self.fleet.stop_all().await;
        let _whole = self.network.lock().await;
        let host = lock(&self.host).take();
        match host {
            Some(host) => self
                .networks
                .stop_all(&host)
                .await
                .map_err(|source| AgentError::Part { what: "take the networks away", source }),
            None => Ok(()),
        }
    }

    /// Waits until machine `name` is ready for what was asked of it last.
    pub(crate) async fn ready(&self, name: &hc_spec::Name) -> std::result::Result<(), Failure> {
        self.fleet.ready(name, None).await
    }
}
