//! Which process has a port: for the one error message everybody gets once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;

/// Names the process that listens on an address, as far as `/proc` shows it.
///
/// A walk through `/proc` is no snapshot, and on a busy host can miss what is there all the time:
/// it is worth some more looks, since nothing else will tell.
pub(super) fn of(address: SocketAddr, protocol: &str) -> Option<String> {
    (0..5).find_map(|look| {
        std::thread::sleep(std::time::Duration::from_millis(10 * look));
        search(address, protocol)
    })
}

fn search(address: SocketAddr, protocol: &str) -> Option<String> {
    let inode = ["", "6"].iter().find_map(|version| {
        // Sockets of the calling thread's network namespace.
        let table = std::fs::read_to_string(format!("/proc/thread-self/net/{protocol}{version}"));
        table.ok()?.lines().skip(1).find_map(|line| match_line(line, address).map(str::to_owned))
    })?;
    let socket = format!("socket:[{inode}]");
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let holds = files.flatten().any(|file| {
            std::fs::read_link(file.path())
                .is_ok_and(|target| target.as_os_str().as_bytes() == socket.as_bytes())
        });
        if holds {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (process {pid})", name.trim()));
        }
    }
    None
}

/// The inode of the socket in a line, when it is bound to the address or to all of them.
fn match_line(line: &str, wanted: SocketAddr) -> Option<&str> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (address, port) = fields.get(1)?.split_once(':')?;
    let local = parse(address)?;
    let fits = local == wanted.ip() || local.is_unspecified();
    let free = *fields.get(3)? != "0A" && *fields.get(3)? != "07";
    let taken = u16::from_str_radix(port, 16).ok()? == wanted.port() && fits && !free;
    taken.then(|| fields.get(9).copied()).flatten()
}

/// Addresses are printed as 32-bit words in the machine's byte order.
fn parse(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let word = u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let octets: [u8; 16] = words.concat().try_into().ok()?;
            Some(IpAddr::from(Ipv6Addr::from(octets)).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_understood() {
        let line = "  0: 3500007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 18033 1";
        assert_eq!(match_line(line, "127.0.0.53:53".parse().unwrap()), Some("18033"));
        assert_eq!(match_line(line, "127.0.0.53:54".parse().unwrap()), None);
        assert_eq!(match_line(line, "127.0.0.1:53".parse().unwrap()), None);
        let all =
            "  0: 00000000000000000000000000000000:0035 0:0000 07 0:0 00:0 00   101        0 7 1";
        assert_eq!(match_line(all, "[fd00::1]:53".parse().unwrap()), Some("7"));
        assert_eq!(match_line("rubbish", "[fd00::1]:53".parse().unwrap()), None);
        assert_eq!(match_line("  0: é000007F:0035 x 0A", "[fd00::1]:53".parse().unwrap()), None);
    }
}
