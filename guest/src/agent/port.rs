//! The guest's end of the channel.

use crate::sys::{self, Errno, File, io};
use crate::wire::{Decoder, FromGuest, PORT, ToGuest, encode};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

const PORTS: &str = "/sys/class/virtio-ports";
const DRIVEN: &str = "/sys/bus/virtio/drivers/virtio_console";
/// How much waits to be sent before streams are read no further.
const FULL: usize = 256 << 10;
/// What is handed to the kernel at a time.
const PIECE: usize = 32 << 10;
const PATIENCE_MS: u64 = 2000;

/// The device of the port with this name; nothing when the machine has none. Ports and their names
/// come one after the other from the device, which was there when its driver was.
#[must_use]
pub fn find(name: &str) -> Option<String> {
    let has_device = || sys::list(DRIVEN).is_ok_and(|l| l.iter().any(|n| n.starts_with("virtio")));
    let name_of = |port: &String| {
        let name = sys::read(&format!("{PORTS}/{port}/name")).unwrap_or_default();
        String::from_utf8_lossy(name.trim_ascii()).into_owned()
    };
    for _ in 0..PATIENCE_MS {
        if !has_device() {
            return None;
        }
        let ports = sys::list(PORTS).unwrap_or_default();
        let names: Vec<String> = ports.iter().map(name_of).collect();
        if let Some(index) = names.iter().position(|other| other == name) {
            return Some(format!("/dev/{}", ports[index]));
        }
        if !names.is_empty() && names.iter().all(|name| !name.is_empty()) {
            return None;
        }
        sys::sleep_ms(1);
    }
    None
}

/// The open port.
#[derive(Debug)]
pub struct Port {
    file: File,
    decoder: Decoder<ToGuest>,
    out: Vec<u8>,
    sent: usize,
    connected: bool,
}

impl Port {
    /// Opens the channel's port.
    ///
    /// # Errors
    /// A sentence.
    pub fn open() -> Result<Option<Self>, String> {
        let Some(path) = find(PORT) else { return Ok(None) };
        let file = sys::open(&path, sys::READ_WRITE | sys::NO_CTTY)
            .map_err(|error| format!("cannot open the port {PORT}: {error}"))?;
        let port = Self {
            file,
            decoder: Decoder::until_hello(),
            out: Vec::new(),
            sent: 0,
            connected: false,
        };
        port.own();
        Ok(Some(port))
    }

    /// Makes this process the one that is told when the host's end is opened.
    pub fn own(&self) {
        let _ = io::set_waiting(&self.file, false, true);
    }

    /// What to wait for; nothing while the host's end is closed, of which the signal tells.
    #[must_use]
    pub fn poll(&self) -> Option<io::Poll> {
        let out = if self.sent < self.out.len() { io::OUT } else { 0 };
        self.connected.then(|| io::Poll::new(&self.file, io::IN | out))
    }

    /// Whether so much waits to be sent that no stream should be read.
    #[must_use]
    pub fn full(&self) -> bool {
        self.out.len() - self.sent > FULL
    }

    /// Whether the host's end is open.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.connected
    }

    /// Looks whether the host's end is open; true when it was closed since.
    pub fn look(&mut self) -> bool {
        let connected = self.is_open();
        if connected == self.connected {
            return false;
        }
        self.forget();
        // While it is open there is the port to wait for: a signal for every message is not needed.
        let _ = io::set_waiting(&self.file, false, !connected);
        // It may have been opened before that.
        self.connected = connected || self.is_open();
        !connected
    }

    fn is_open(&self) -> bool {
        let mut look = [io::Poll::new(&self.file, io::IN)];
        io::poll(&mut look, Some(0));
        look[0].got & io::GONE == 0
    }

    /// Everything of the old connection is void.
    fn forget(&mut self) {
        self.decoder = Decoder::until_hello();
        self.out = Vec::new();
        self.sent = 0;
    }

    /// Sends a message; nobody hears it while the host's end is closed.
    pub fn send(&mut self, session: u32, message: &FromGuest) {
        if self.connected && encode(session, message, &mut self.out).is_err() {
            let too_long = FromGuest::Failed("the answer is too long".into());
            let _ = encode(session, &too_long, &mut self.out);
        }
    }

    /// Hands on what there is room for.
    pub fn flush(&mut self) {
        while self.sent < self.out.len() {
            let rest = &self.out[self.sent..];
            match io::write(&self.file, &rest[..rest.len().min(PIECE)]) {
                Ok(0) | Err(_) => return,
                Ok(count) => self.sent += count,
            }
        }
        self.out.clear();
        self.sent = 0;
    }

    /// Hands on everything, and waits until the host's machine has it.
    pub fn finish(&mut self) {
        if self.look() || !self.connected {
            return;
        }
        let _ = io::set_waiting(&self.file, true, false);
        self.flush();
    }

    /// Messages that are there. What makes no sense ends what the connection said so far; the host
    /// then says `Hello` again.
    pub fn receive(&mut self) -> Vec<(u32, ToGuest)> {
        let mut messages = Vec::new();
        let mut buffer = vec![0; PIECE];
        // What a new connection says is not answered before it is known to be there. Not for ever:
        // streams want to go on too.
        for _ in 0..if self.connected { 16 } else { 0 } {
            match io::read(&self.file, &mut buffer) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(count) => self.decoder.push(&buffer[..count]),
                Err(_) => break,
            }
            loop {
                match self.decoder.next() {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    Err(error) => {
                        self.decoder = Decoder::until_hello();
                        self.send(crate::wire::MACHINE, &FromGuest::Failed(format!("{error}")));
                        break;
                    }
                }
            }
        }
        messages
    }
}
