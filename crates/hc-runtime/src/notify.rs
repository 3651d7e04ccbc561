//! sd_notify(3), both ends.

use std::path::Path;

/// What one datagram says, as far as hc listens.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Notice {
    pub ready: bool,
    pub stopping: bool,
    pub status: Option<String>,
}

/// Longest `STATUS=` that is kept.
const LONGEST: usize = 512;

impl Notice {
    /// Reads assignments, one a line; unknown ones (`MAINPID=` among them) are passed over.
    pub fn parse(datagram: &[u8]) -> Self {
        let mut notice = Self::default();
        for line in datagram.split(|byte| *byte == b'\n') {
            match line {
                b"READY=1" => notice.ready = true,
                b"STOPPING=1" => notice.stopping = true,
                _ => {
                    if let Some(text) = line.strip_prefix(b"STATUS=") {
                        let text = String::from_utf8_lossy(&text[..text.len().min(LONGEST)]);
                        // It ends up on terminals.
                        let text = text.chars().filter(|c| !c.is_control()).collect();
                        notice.status = Some(text);
                    }
                }
            }
        }
        notice
    }
}

/// Tells whoever started this process something, over its `NOTIFY_SOCKET`. Nobody listening is no error of ours.
pub fn tell(socket: &Path, message: &str) {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let address = match socket.as_os_str().as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(socket),
    };
    if let (Ok(address), Ok(from)) = (address, UnixDatagram::unbound()) {
        let _ = from.send_to_addr(message.as_bytes(), &address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_count() {
        let notice = Notice::parse(b"MAINPID=1\nSTATUS=up \x1b[31m\nREADY=1\n");
        let status = Some("up [31m".to_owned());
        assert_eq!(notice, Notice { ready: true, stopping: false, status });
        for other in [b"READY=10".as_slice(), b"XREADY=1", b"", b"READY=0", b"\xff\n\n"] {
            assert_eq!(Notice::parse(other), Notice::default());
        }
    }
}
