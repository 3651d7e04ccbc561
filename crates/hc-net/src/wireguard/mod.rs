//! WireGuard: the hosts of a cloud over a wire that others may read and write.
//!
//! Packets go, encrypted, to the host whose /48 they are for; what comes in is taken for a host when it
//! has that host's key, and only with a source in its /48. A host that moves is followed: its packets
//! say where it is.
//!
//! It is the kernel's WireGuard where there is one, which works on when this process ends; elsewhere
//! it is in this process, over a TUN device.

mod device;
mod engine;
mod kernel;
mod key;
mod keyring;
mod peers;
mod report;
mod there;

pub use key::Key;
pub use keyring::{Answer, Change, Keyring, Keys, Known, Offer, Road};
pub use peers::PORT;
pub use report::{Report, Reports};
pub use there::answers;

use crate::error::{Error, Result};
use device::Device;
use engine::Engine;
use hc_spec::HostSpec;
use hc_spec::host::{Overlay, OverlayMode};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use tokio::sync::oneshot;

/// What a tunnel is to be; it looks there by itself.
#[derive(Clone)]
struct Asked {
    host: Arc<Mutex<HostSpec>>,
    /// Whether that changed since it looked.
    news: Arc<AtomicBool>,
}

impl Asked {
    fn host(&self) -> HostSpec {
        self.host.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A tunnel, and what keeps it as it is to be.
pub struct Tunnel {
    asked: Asked,
    /// The host's own public key, and whether it is reached over IPv6.
    fixed: (String, bool),
    keyring: Keyring,
    /// Of a tunnel in this process.
    reports: Arc<Mutex<Reports>>,
    stop: Option<Stop>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Dropped to stop the one or the other.
enum Stop {
    Kernel(#[expect(dead_code, reason = "that it is dropped is the message")] mpsc::Sender<()>),
    Process(#[expect(dead_code, reason = "that it is dropped is the message")] oneshot::Sender<()>),
}

impl Tunnel {
    /// Starts one in the network namespace of the calling thread, where `host` asks for one. It
    /// follows what is in `keyring`.
    ///
    /// # Errors
    /// When the device, the socket or the host's key cannot be had.
    pub fn start(host: &HostSpec, keyring: &Keyring) -> Result<Option<Self>> {
        let Some(overlay) = wanted(host) else { return Ok(None) };
        let key = keyring.own()?;
        let asked = Asked { host: Arc::new(Mutex::new(host.clone())), news: Arc::new(true.into()) };
        let fixed = (key.public(), overlay.address.is_ipv6());
        let reports = Arc::default();
        let started = match kernel::Device::make(crate::links::OVERLAY)? {
            Some(device) => Self::in_kernel(device, &key, keyring, &asked)?,
            None => Self::in_process(host, overlay, &key, keyring, &asked, &reports)?,
        };
        let (stop, thread) = started;
        let (keyring, stop, thread) = (keyring.clone(), Some(stop), Some(thread));
        Ok(Some(Self { asked, fixed, keyring, reports, stop, thread }))
    }

    fn in_kernel(
        device: kernel::Device,
        key: &Key,
        keyring: &Keyring,
        asked: &Asked,
    ) -> Result<(Stop, std::thread::JoinHandle<()>)> {
        let known = keyring.known()?;
        if let Err(source) = device.set(key, &peers::of(&asked.host(), &known)) {
            device.remove();
            let what = crate::links::OVERLAY.into();
            return Err(Error::Link { action: "set up the WireGuard device", what, source });
        }
        let (stop, stopped) = mpsc::channel();
        let (key, keyring, asked) = (key.clone(), keyring.clone(), asked.clone());
        let thread = spawn(move || device.follow(&key, &keyring, &asked, &stopped))?;
        Ok((Stop::Kernel(stop), thread))
    }

    fn in_process(
        host: &HostSpec,
        overlay: &Overlay,
        key: &Key,
        keyring: &Keyring,
        asked: &Asked,
        reports: &Arc<Mutex<Reports>>,
    ) -> Result<(Stop, std::thread::JoinHandle<()>)> {
        let device = Device::open(crate::links::OVERLAY).map_err(|source| Error::System {
            action: "make a TUN device for other hosts",
            source,
        })?;
        let any: IpAddr = match overlay.address {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let address = SocketAddr::new(any, PORT);
        let listen = |source| Error::Listen { addr: address, protocol: "udp", source };
        let socket = std::net::UdpSocket::bind(address).map_err(listen)?;
        socket.set_nonblocking(true).map_err(listen)?;
        let engine = Engine::new(host, key, keyring.clone(), asked.clone(), Arc::clone(reports));
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let ended = runtime.and_then(|runtime| {
                runtime.block_on(async {
                    tokio::select! {
                        ended = engine.run(device, socket) => ended,
                        _ = stopped => Ok(()),
                    }
                })
            });
            if let Err(error) = ended {
                tracing::error!(%error, "other hosts are not reached any more");
            }
        };
        Ok((Stop::Process(stop), spawn(run)?))
    }

    /// Whether it is in the kernel, and so works on when this is dropped.
    #[must_use]
    pub fn outlives(&self) -> bool {
        matches!(self.stop, Some(Stop::Kernel(_)))
    }

    /// How it stands with all whose keys are known. Of a tunnel in the kernel, in the network namespace of
    /// the calling thread.
    ///
    /// # Errors
    /// When the keys cannot be read, or the kernel does not say.
    pub fn reports(&self) -> Result<Reports> {
        if !self.outlives() {
            return Ok(self.reports.lock().unwrap_or_else(PoisonError::into_inner).clone());
        }
        let known = self.keyring.known()?;
        let what = crate::links::OVERLAY;
        let said = kernel::reports(what).map_err(|source| Error::Link {
            action: "ask the WireGuard device",
            what: what.into(),
            source,
        })?;
        let all = peers::of(&self.asked.host(), &known).into_iter();
        let named = |far: peers::Far| Some((far.name, said.get(far.public.as_bytes())?.clone()));
        Ok(all.filter_map(named).collect())
    }

    /// Makes it the one that `host` asks for, without cutting what stays. Not where it takes another
    /// one, or none.
    #[must_use]
    pub fn update(&self, host: &HostSpec, keyring: &Keyring) -> bool {
        let Some(overlay) = wanted(host) else { return false };
        let before = self.asked.host();
        let own = keyring.own().map(|key| key.public());
        let same = own.is_ok_and(|own| self.fixed == (own, overlay.address.is_ipv6()))
            && (&before.cloud, &before.host) == (&host.cloud, &host.host)
            && self.thread.as_ref().is_some_and(|thread| !thread.is_finished());
        if same && before != *host {
            *self.asked.host.lock().unwrap_or_else(PoisonError::into_inner) = host.clone();
            self.asked.news.store(true, Ordering::Release);
        }
        same
    }
}

fn spawn(run: impl FnOnce() + Send + 'static) -> Result<std::thread::JoinHandle<()>> {
    let spawned = std::thread::Builder::new().name("hc-overlay".into()).spawn(run);
    spawned.map_err(|source| Error::System { action: "start a thread", source })
}

fn wanted(host: &HostSpec) -> Option<&Overlay> {
    host.overlay.as_ref().filter(|overlay| overlay.mode == OverlayMode::Wireguard)
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
