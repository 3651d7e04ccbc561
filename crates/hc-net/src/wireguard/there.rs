//! Whether another host is there, by what it answers over the overlay.

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrV6, SocketType};
use rustix::net::{connect, ipproto, recv, send, socket};
use std::io;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

/// For how long it is asked, and how often.
const PATIENCE: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(200);
/// Types of ICMPv6 (RFC 4443).
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;

/// Whether that address of another host, a gateway of one of its networks, answers to an echo within
/// two seconds. With WireGuard nobody does who has not the key by which the host is known.
///
/// # Errors
/// When the kernel gives no raw socket: it takes root.
pub fn answers(address: Ipv6Addr) -> io::Result<bool> {
    let icmp = socket(AddressFamily::INET6, SocketType::RAW, Some(ipproto::ICMPV6))?;
    set_socket_timeout(&icmp, Timeout::Recv, Some(AGAIN))?;
    if connect(&icmp, &SocketAddrV6::new(address, 0, 0, 0)).is_err() {
        return Ok(false);
    }
    // The kernel puts the checksum in. The identifier keeps others' answers apart.
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        // No way there is as good as no answer; there may be one in a moment.
        let sent = send(&icmp, &[ECHO_REQUEST, 0, 0, 0, high, low, 0, 0], SendFlags::empty());
        let until = Instant::now() + AGAIN;
        if sent.is_err() {
            std::thread::sleep(AGAIN);
        }
        let mut answer = [0; 64];
        while Instant::now() < until {
            let Ok((length, _)) = recv(&icmp, &mut answer[..], RecvFlags::empty()) else { break };
            if length >= 8 && answer[0] == ECHO_REPLY && answer[4..6] == [high, low] {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
