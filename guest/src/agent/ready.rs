//! When the payload counts as ready, and what it says of itself.

use super::port::Port;
use crate::ask::LOOPBACK;
use crate::sys::{self, File, io};
use crate::wire::{FromGuest, MACHINE, Readiness};
use alloc::string::String;
use core::net::SocketAddr;

/// Where the payload says so.
pub const SOCKET: &str = "/run/hc/notify";
/// How long until a port is asked again: at first, and at most.
const PAUSE_MS: [u64; 2] = [2, 100];

/// How far the payload is.
#[derive(Debug, Default)]
pub struct Ready {
    socket: Option<File>,
    started: bool,
    ready: bool,
    readiness: Readiness,
    /// When the port is asked next, and the pause after that.
    probe: Option<(u64, u64)>,
}

impl Ready {
    /// Makes the socket, for everybody in the machine, where it is not there: `/run` may have been mounted
    /// over.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn listen(&mut self) -> sys::Result<()> {
        if self.socket.is_none() || !sys::exists(SOCKET) {
            sys::mkdir("/run/hc")?;
            let _ = sys::unlink(SOCKET);
            self.socket = Some(io::datagrams_at(SOCKET)?);
        }
        Ok(())
    }

    /// What to wait for.
    #[must_use]
    pub fn poll(&self) -> Option<io::Poll> {
        self.socket.as_ref().map(|socket| io::Poll::new(socket, io::IN))
    }

    /// When it has to be looked after.
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        self.probe.map(|(next, _)| next)
    }

    /// Whether the payload was executed.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.started
    }

    /// The payload was executed.
    pub fn started(&mut self, readiness: Readiness, port: &mut Port) {
        self.started = true;
        self.readiness = readiness;
        match readiness {
            Readiness::Started => self.ready = true,
            Readiness::Notify => {}
            Readiness::Tcp(_) => self.probe = Some((io::ticks(), PAUSE_MS[0])),
        }
        self.tell(port);
    }

    /// Says how far it is.
    pub fn tell(&self, port: &mut Port) {
        if self.started {
            port.send(MACHINE, &FromGuest::Started);
        }
        if self.ready {
            port.send(MACHINE, &FromGuest::Ready);
        }
    }

    /// Hands on what was said, and asks what is to be asked.
    pub fn turn(&mut self, port: &mut Port) {
        let mut said = [0; 4096];
        while let Some(Ok(count @ 1..)) = self.socket.as_ref().map(|s| io::read(s, &mut said)) {
            let text = String::from_utf8_lossy(&said[..count]).into_owned();
            let ready = text.lines().any(|line| line == "READY=1");
            port.send(MACHINE, &FromGuest::Notify(text));
            if ready && self.readiness == Readiness::Notify {
                self.is_ready(port);
            }
        }
        if let (Some((next, pause)), Readiness::Tcp(number)) = (self.probe, self.readiness)
            && next <= io::ticks()
        {
            // There the answer is there at once, or the backlog is full.
            let accepts = |ip| io::connect(SocketAddr::new(ip, number), Some(10)).is_ok();
            if LOOPBACK.into_iter().any(accepts) {
                self.is_ready(port);
            } else {
                let longer = (pause + pause.div_ceil(2)).min(PAUSE_MS[1]);
                self.probe = Some((io::ticks() + pause, longer));
            }
        }
    }

    fn is_ready(&mut self, port: &mut Port) {
        self.probe = None;
        if !self.ready {
            self.ready = true;
            port.send(MACHINE, &FromGuest::Ready);
        }
    }
}
