//! What a virtual machine went down by, when nothing in it said so: its kernel, itself, or QEMU.

use crate::status::{Exit, Fault};
use crate::sys::process::Ended;

/// What the kernel begins its last words with.
const PANIC: &str = "Kernel panic - not syncing: ";
/// What it says when it ends something because memory has run out, or itself.
const OUT_OF_MEMORY: [&str; 3] = [
    "Out of memory: Killed process",
    "Out of memory and no killable processes",
    "deadlocked on memory",
];

/// What is known of it.
pub(super) struct Down<'a> {
    /// Its name.
    pub name: &'a str,
    /// Why QEMU ended, in its words.
    pub reason: Option<&'a str>,
    pub qemu: Ended,
    /// The last that QEMU said.
    pub complaint: &'a str,
    /// The last that was said on the console.
    pub console: &'a [u8],
}

impl Down<'_> {
    pub fn exit(&self) -> Exit {
        let console = String::from_utf8_lossy(self.console);
        let see = format!("`hc console {}` shows what it said last", self.name);
        let panic = console.rsplit_once(PANIC).map(|(_, words)| words.lines().next().unwrap_or(""));
        let (fault, why) = match (self.reason, panic, self.qemu) {
            (Some("guest-reset"), Some(words), _) => {
                (Some(Fault::Panic), format!("its kernel panicked: {}; {see}", words.trim_end()))
            }
            (Some("guest-reset"), None, _) => {
                (Some(Fault::Reset), format!("it restarted itself, as a machine does not; {see}"))
            }
            (Some("guest-shutdown"), ..) => (
                None,
                "it was powered off from inside, and nothing said how its command ended".into(),
            ),
            (Some(reason), ..) => (Some(Fault::Qemu), format!("QEMU ended ({reason})")),
            (None, _, Ended::Code(0)) => (Some(Fault::Qemu), format!("QEMU ended; {see}")),
            (None, _, Ended::Code(code)) => {
                let complaint = self.complaint;
                (Some(Fault::Qemu), format!("QEMU failed (exit status {code}): {complaint}"))
            }
            (None, _, Ended::Signal(signal)) => {
                (Some(Fault::Qemu), format!("QEMU was killed (signal {signal})"))
            }
        };
        Exit { fault, oom: self.out_of_memory(), ..Exit::error(why) }
    }

    /// Whether the kernel said that memory had run out.
    pub fn out_of_memory(&self) -> bool {
        let console = String::from_utf8_lossy(self.console);
        OUT_OF_MEMORY.iter().any(|words| console.contains(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_brought_it_down_is_told_apart() {
        let panic =
            "[    9.1] Kernel panic - not syncing: sysrq triggered crash\r\n[    9.2] CPU: 0";
        let deadlock = "[ 3.2] Kernel panic - not syncing: System is deadlocked on memory\r\n";
        let killed = "[ 3.1] Out of memory: Killed process 77 (hog) total-vm:9kB\r\n";
        let all = [
            (Some("guest-reset"), Ended::Code(0), panic),
            (Some("guest-reset"), Ended::Code(0), deadlock),
            (Some("guest-reset"), Ended::Code(0), killed),
            (Some("guest-shutdown"), Ended::Code(0), killed),
            (Some("host-signal"), Ended::Code(0), ""),
            (None, Ended::Signal(9), panic),
            (None, Ended::Code(1), ""),
        ];
        let said = all.map(|(reason, qemu, console)| {
            let (name, console) = ("db", console.as_bytes());
            let exit = Down { name, reason, qemu, complaint: "no room", console }.exit();
            format!("{:?} {exit}", exit.fault)
        });
        insta::assert_snapshot!(said.join("\n"), @r"
        Some(Panic) its kernel panicked: sysrq triggered crash; `hc console db` shows what it said last
        Some(Panic) its kernel panicked: System is deadlocked on memory; `hc console db` shows what it said last (out of memory)
        Some(Reset) it restarted itself, as a machine does not; `hc console db` shows what it said last (out of memory)
        None it was powered off from inside, and nothing said how its command ended (out of memory)
        Some(Qemu) QEMU ended (host-signal)
        Some(Qemu) QEMU was killed (signal 9)
        Some(Qemu) QEMU failed (exit status 1): no room
        ");
    }
}
