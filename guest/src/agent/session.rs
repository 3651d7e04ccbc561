//! One process and its streams, as the host sees them.

use super::port::Port;
use super::program::Started;
use crate::sys::{self, Errno, File, io, process};
use crate::wire::{End, FromGuest, MACHINE, Size, WINDOW};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// What is read of a stream at a time.
const PIECE: usize = 32 << 10;
/// How much input was taken before the host may send as much again.
const GRANT: u32 = WINDOW / 4;
/// How long a process has between being hung up on and being killed.
const GRACE_MS: u64 = 2000;
/// What a terminal takes as the end of input.
const END_OF_INPUT: u8 = 4;

/// A session: number 0 is the payload.
#[derive(Debug)]
pub struct Session {
    /// Its number.
    pub id: u32,
    /// The process's.
    pub process: i32,
    terminal: bool,
    input: Option<File>,
    waiting: Vec<u8>,
    no_more: bool,
    taken: u32,
    outputs: [Option<File>; 2],
    may_send: u32,
    end: Option<End>,
    /// Nobody listens: when it is killed.
    closing: Option<u64>,
    /// It is another connection's.
    pub orphan: bool,
}

impl Session {
    /// Of a process that was just started.
    #[must_use]
    pub fn new(id: u32, started: Started, terminal: bool) -> Self {
        Self {
            id,
            process: started.id,
            terminal,
            input: started.input,
            waiting: Vec::new(),
            no_more: false,
            taken: 0,
            outputs: started.outputs,
            may_send: WINDOW,
            end: None,
            closing: None,
            orphan: false,
        }
    }

    /// What to wait for.
    pub fn poll(&self, port: &Port, all: &mut Vec<io::Poll>) {
        if self.may_send > 0 && !port.full() {
            all.extend(self.outputs.iter().flatten().map(|file| io::Poll::new(file, io::IN)));
        }
        if !self.waiting.is_empty() {
            all.extend(self.input.iter().map(|file| io::Poll::new(file, io::OUT)));
        }
    }

    /// When it has to be looked after.
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        self.closing.filter(|_| self.end.is_none())
    }

    /// More of its input. More than the window has room for ends it.
    pub fn take(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.no_more = true;
        } else if self.waiting.len() + bytes.len() > WINDOW as usize {
            self.close();
        } else {
            self.waiting.extend_from_slice(bytes);
        }
    }

    /// The host takes so much more of its output.
    pub fn allow(&mut self, count: u32) {
        self.may_send = self.may_send.saturating_add(count);
    }

    /// Another connection begins with what every connection begins with.
    pub fn start_over(&mut self) {
        self.may_send = WINDOW;
        self.waiting.clear();
        self.taken = 0;
    }

    /// Sends its process a signal, if it still has one.
    pub fn signal(&self, signal: u8) {
        if self.end.is_none() {
            let _ = process::kill(self.process, signal);
        }
    }

    /// Its terminal has another size.
    pub fn resize(&self, size: Size) {
        if let Some(terminal) = self.input.as_ref().filter(|_| self.terminal) {
            let _ = io::resize(terminal, size.rows, size.columns);
        }
    }

    /// Its process has ended.
    pub fn ended(&mut self, status: i32) {
        self.end = Some(match status & 0x7f {
            0 => End::Code((status >> 8) as u8),
            signal => End::Signal(signal as u8),
        });
        if self.closing.is_some() {
            self.signal_all(process::SIGKILL);
        }
    }

    /// Whether its process has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Nobody is interested any more.
    pub fn close(&mut self) {
        if self.closing.is_none() {
            self.closing = Some(io::ticks() + GRACE_MS);
            self.input = None;
            self.outputs = [None, None];
            self.signal_all(process::SIGHUP);
        }
    }

    /// To every process of its own session, whatever group it is in.
    fn signal_all(&self, signal: u8) {
        for id in sys::list("/proc").unwrap_or_default() {
            let Ok(id) = id.parse::<i32>() else { continue };
            let stat = sys::read(&format!("/proc/{id}/stat")).unwrap_or_default();
            if session_of(&String::from_utf8_lossy(&stat)) == Some(self.process) {
                let _ = process::kill(id, signal);
            }
        }
    }

    /// Moves what can be moved. True when it is over, and the host was told.
    pub fn pump(&mut self, port: &mut Port) -> bool {
        if self.due().is_some_and(|due| due <= io::ticks()) {
            self.closing = Some(u64::MAX);
            self.signal_all(process::SIGKILL);
        }
        self.pump_input(port);
        let mut quiet = true;
        for number in 0..2 {
            quiet &= self.pump_output(number, port);
        }
        match self.end {
            Some(end) if quiet || !port.connected() => {
                if !self.orphan {
                    let told = if self.id == MACHINE {
                        FromGuest::Ended { end, oom: process::out_of_memory() > 0 }
                    } else {
                        FromGuest::Exit(end)
                    };
                    port.send(self.id, &told);
                }
                true
            }
            _ => false,
        }
    }

    fn pump_input(&mut self, port: &mut Port) {
        while let (Some(input), false) = (&self.input, self.waiting.is_empty()) {
            match io::write(input, &self.waiting) {
                Ok(count) => {
                    self.waiting.drain(..count);
                    self.taken += count as u32;
                }
                Err(Errno::AGAIN) => break,
                Err(_) => self.input = None,
            }
        }
        if self.input.is_none() {
            // Nobody reads it: the host is not to wait for that.
            self.taken += self.waiting.len() as u32;
            self.waiting.clear();
        }
        if self.taken >= GRANT && !self.orphan {
            port.send(self.id, &FromGuest::Window(self.taken));
            self.taken = 0;
        }
        if self.no_more && self.waiting.is_empty() {
            self.no_more = false;
            match &self.input {
                Some(terminal) if self.terminal => drop(io::write(terminal, &[END_OF_INPUT])),
                _ => self.input = None,
            }
        }
    }

    /// True when there is nothing there to be sent.
    fn pump_output(&mut self, number: usize, port: &mut Port) -> bool {
        let Some(file) = &self.outputs[number] else { return true };
        if self.may_send == 0 || port.full() {
            return false;
        }
        let mut buffer = vec![0; PIECE.min(self.may_send as usize)];
        match io::read(file, &mut buffer) {
            Ok(count @ 1..) => {
                buffer.truncate(count);
                self.may_send -= count as u32;
                port.send(self.id, &FromGuest::Output(number as u8 + 1, buffer));
                return false;
            }
            Err(Errno::AGAIN) => {}
            // A terminal that no program has open any more ends with an error.
            Ok(0) | Err(_) => self.outputs[number] = None,
        }
        true
    }
}

/// The session in a line of `/proc/PID/stat`: number, name in parentheses, state, parent, group, session.
fn session_of(stat: &str) -> Option<i32> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_process_name_may_hold_anything() {
        let stat = "77 (a) b (c) S 1 70 7 34816 77 4194304 120";
        assert_eq!(super::session_of(stat), Some(7));
        assert_eq!(super::session_of(""), None);
    }
}
