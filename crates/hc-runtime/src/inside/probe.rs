//! The `tcp` readiness probe, made where the port is: in the machine's own network namespace.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Asks again and again, a little less often each time.
#[derive(Debug)]
pub(super) struct Probe {
    port: u16,
    pause: Duration,
    next: Instant,
}

impl Probe {
    pub fn new(port: u16) -> Self {
        Self { port, pause: Duration::from_millis(2), next: Instant::now() }
    }

    /// How long until it wants to ask again.
    pub fn due_in(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// Asks if it is time to; says whether somebody accepted.
    pub fn ask(&mut self) -> bool {
        if !self.due_in().is_zero() {
            return false;
        }
        let loopback = [IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)];
        if loopback.iter().any(|address| accepts(SocketAddr::new(*address, self.port))) {
            return true;
        }
        self.next = Instant::now() + self.pause;
        self.pause = (self.pause * 3 / 2).min(Duration::from_millis(100));
        false
    }
}

fn accepts(address: SocketAddr) -> bool {
    let ask = || -> rustix::io::Result<bool> {
        let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        match connect(&socket, &address) {
            Err(rustix::io::Errno::INPROGRESS) => {}
            done => return done.map(|()| true),
        }
        // On the loopback the answer is there at once, or the backlog is full.
        let wait = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        if poll(&mut [PollFd::new(&socket, PollFlags::OUT)], Some(&wait))? == 0 {
            return Ok(false);
        }
        Ok(sockopt::socket_error(&socket)?.is_ok())
    };
    ask().unwrap_or(false)
}
