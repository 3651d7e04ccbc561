//! Asking a service of this machine whether it works, on the machine's own loopback. The host asks its
//! containers the same.

use crate::sys::{self, Errno, io};
use crate::wire::Question;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where services are asked, in this order.
pub const LOOPBACK: [IpAddr; 2] =
    [IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)];
/// No answer's first line is longer.
const LONGEST: usize = 1024;

/// The request for a path by HTTP/1.1.
#[must_use]
pub fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: hc\r\nConnection: close\r\n\r\n")
}

/// Whether an answer that begins like this is a good one.
///
/// # Errors
/// Why not.
pub fn judge(line: &[u8]) -> Result<(), String> {
    match status(line) {
        Some(200..=399) => Ok(()),
        Some(status) => Err(format!("status {status}")),
        None => Err("the answer is no HTTP".into()),
    }
}

/// The number in `HTTP/1.1 200 OK`.
fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let number = rest.get(2..5).filter(|_| rest.get(1) == Some(&b' '))?;
    let ends = rest.get(5).is_none_or(|byte| b" \r\n".contains(byte));
    let digits = number.iter().all(u8::is_ascii_digit);
    core::str::from_utf8(number).ok()?.parse().ok().filter(|code| digits && ends && *code >= 100)
}

/// Whether `line`, the beginning of an answer, is enough to judge it.
#[must_use]
pub fn suffices(line: &[u8]) -> bool {
    line.len() >= LONGEST || line.contains(&b'\n')
}

/// Asks, and waits as long as it takes.
///
/// # Errors
/// Why it does not work.
pub fn ask(question: &Question) -> Result<(), String> {
    let (port, path) = match question {
        Question::Tcp(port) => (*port, None),
        Question::Http(port, path) => (*port, Some(path)),
    };
    let mut connected = Err(Errno(0));
    for address in LOOPBACK {
        connected = io::connect(SocketAddr::new(address, port), None);
        if connected.is_ok() {
            break;
        }
    }
    let told = |error: Errno| format!("{error}");
    let (socket, Some(path)) = (connected.map_err(told)?, path) else { return Ok(()) };
    io::set_waiting(&socket, true, false).map_err(told)?;
    sys::write(&socket, request(path).as_bytes()).map_err(told)?;
    let (mut line, mut piece) = (Vec::new(), [0; 256]);
    while !suffices(&line) {
        match io::read(&socket, &mut piece).map_err(told)? {
            0 => break,
            count => line.extend_from_slice(&piece[..count]),
        }
    }
    judge(&line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn only_the_status_counts() {
        for (line, expected) in [
            (&b"HTTP/1.1 200 OK\r\n"[..], Some(200)),
            (b"HTTP/1.0 503\r\n", Some(503)),
            (b"HTTP/1.1 404 ", Some(404)),
            (b"HTTP/1.1 2000", None),
            (b"HTTP/1.1 20", None),
            (b"HTTP/1.1 +20 x", None),
            (b"SSH-2.0-x", None),
            (b"", None),
        ] {
            assert_eq!(status(line), expected, "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn a_service_is_asked_on_the_loopback() {
        let service = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = service.local_addr().unwrap().port();
        let answers = std::thread::spawn(move || {
            for answer in ["", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 500 No\r\n\r\n"] {
                let (mut stream, _) = service.accept().unwrap();
                if answer.is_empty() {
                    continue;
                }
                let mut asked = [0; 1024];
                let length = stream.read(&mut asked).unwrap();
                assert!(asked[..length].starts_with(b"GET /up HTTP/1.1\r\nHost: localhost\r\n"));
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        assert_eq!(ask(&Question::Tcp(port)), Ok(()));
        let http = Question::Http(port, "/up".into());
        assert_eq!(ask(&http), Ok(()));
        assert_eq!(ask(&http), Err("status 500".into()));
        answers.join().unwrap();
        assert_eq!(ask(&http), Err("connection refused".into()));
    }
}
