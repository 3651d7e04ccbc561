//! The daemon: one per run directory, until it is told to end.

use crate::agent::Agent;
use crate::api;
use crate::config::AgentConfig;
use crate::error::{Context, Result};
use crate::lock;
use crate::machines::{Machines, ProcessMachines};
use crate::networks::Networks;
use crate::roots::Roots;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use rustix::process::{Resource, Rlimit};
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};

/// What an activation touches outside of this crate.
pub struct Parts {
    /// Processes; [`ProcessMachines`] when `None`.
    pub machines: Option<Arc<dyn Machines>>,
    /// Links and names.
    pub networks: Arc<dyn Networks>,
    /// Garbage collector roots.
    pub roots: Arc<dyn Roots>,
}

/// [`serve`] on a runtime of its own.
///
/// # Errors
/// As [`serve`].
pub fn run(config: AgentConfig, parts: impl FnOnce() -> Result<Parts>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // Starting machines blocks; a thousand at once shall not mean a thousand threads.
        .max_blocking_threads(16)
        .enable_all()
        .build()
        .on("make a runtime for", &config.exe)?;
    let served = runtime.block_on(async {
        let parts = parts()?;
        serve(config, parts).await
    });
    // An activation that is under way is left to the journal.
    runtime.shutdown_background();
    served
}

/// Runs the agent until SIGTERM, SIGINT or a shutdown call. Machines go on running, unless the
/// call says otherwise.
///
/// # Errors
/// When another agent owns the run directory, or it cannot be used.
pub async fn serve(config: AgentConfig, parts: Parts) -> Result<()> {
    hc_fs::durable::create_dir_all(&config.state_dir, 0o755)?;
    hc_fs::plain::create_dir_all(&config.run_dir, 0o755)?;
    let _lock = lock::own(&config.lock())?;
    let machines = match parts.machines {
        Some(machines) => machines,
        None => Arc::new(ProcessMachines::new(&config)?),
    };
    raise_file_limit();
    let on_signal = |kind| signal(kind).on("wait for signals in", &config.run_dir);
    let (mut term, mut int) =
        (on_signal(SignalKind::terminate())?, on_signal(SignalKind::interrupt())?);
    let socket = config.socket();
    // Nobody else can own it: the lock is ours.
    hc_fs::plain::remove_file(&socket)?;
    let listener = listen(&socket)?;
    let notify = config.notify.clone();
    let agent = Agent::new(config, machines, parts.networks, parts.roots);
    // Taken before the first request can be: what an earlier agent left comes first.
    let pass = agent.enter("the agent".into(), "coming up".into(), true).await?;
    let coming = Arc::clone(&agent);
    tokio::spawn(async move { coming.come_up(pass).await });
    tokio::spawn(Arc::clone(&agent).keep_publishing());
    tokio::spawn(Arc::clone(&agent).keep_whole());
    tokio::spawn(crate::snapshots::keep(Arc::clone(&agent)));
    let service = api::router(Arc::clone(&agent)).into_make_service_with_connect_info::<Peer>();
    let ending = Arc::clone(&agent);
    let (ended, mut end) = tokio::sync::watch::channel(false);
    let server = axum::serve(Door(listener), service).with_graceful_shutdown(async move {
        let _ = end.wait_for(|ended| *ended).await;
    });
    let mut server = tokio::spawn(server.into_future());
    tracing::info!(socket = %socket.display(), "ready");
    if let Some(notify) = notify {
        hc_runtime::tell(&notify, "READY=1");
    }
    tokio::select! {
        _ = term.recv() => tracing::info!("SIGTERM: machines go on running"),
        _ = int.recv() => tracing::info!("SIGINT: machines go on running"),
        () = ending.ending.notified() => tracing::info!("told to end"),
        _ = &mut server => {}
    }
    ended.send_replace(true);
    // Answers on the way get out; whoever waits for an activation is not waited for.
    let _ = tokio::time::timeout(Duration::from_millis(200), server).await;
    if let Err(error) = agent.networks.stop_dns().await {
        tracing::warn!(%error, "cannot put the resolver back");
    }
    hc_fs::plain::remove_file(&socket)?;
    Ok(())
}

fn listen(socket: &Path) -> Result<UnixListener> {
    // Made under another name: nobody can connect before the mode is right.
    let temporary = socket.with_extension("sock.new");
    hc_fs::plain::remove_file(&temporary)?;
    let listener = UnixListener::bind(&temporary).on("listen on", socket)?;
    std::fs::set_permissions(&temporary, PermissionsExt::from_mode(0o600)).on("protect", socket)?;
    hc_fs::plain::rename(&temporary, socket)?;
    Ok(listener)
}

/// One descriptor per machine is soon more than the usual 1024.
fn raise_file_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let most = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let _ = rustix::process::setrlimit(Resource::Nofile, most);
}

/// Lets in root and whoever runs the agent.
struct Door(UnixListener);

impl Listener for Door {
    type Io = UnixStream;
    type Addr = Peer;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.0.accept().await {
                Ok((stream, _)) => match stream.peer_cred() {
                    Ok(peer) if may_enter(peer.uid()) => {
                        return (stream, Peer { uid: peer.uid(), pid: peer.pid() });
                    }
                    Ok(peer) => tracing::warn!(uid = peer.uid(), "turned away"),
                    Err(error) => tracing::warn!(%error, "turned away"),
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    // Out of descriptors, most likely: others must end first.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        Ok(Peer { uid: rustix::process::geteuid().as_raw(), pid: None })
    }
}

fn may_enter(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// Who is at the other end.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    uid: u32,
    pid: Option<i32>,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user {}", self.uid)?;
        self.pid.map_or(Ok(()), |pid| write!(f, " (process {pid})"))
    }
}

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.remote_addr().clone()
    }
}
