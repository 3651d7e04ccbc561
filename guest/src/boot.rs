//! From the kernel's first jump to the payload.

use crate::agent::{self, port::Port};
use crate::sys::process;
use crate::wire::Payload;
use crate::{modules, mounts, payload, root, sys, words};
use alloc::format;
use alloc::string::String;

/// Everything, in order. What fails is said on the console, and the machine powers off.
pub fn main() -> ! {
    match start() {
        Ok(()) => end(),
        Err(why) => give_up(&why),
    }
}

fn start() -> Result<(), String> {
    special_file_systems()?;
    let text = |path: &str| match sys::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(sys::Errno::NOENT) => Ok(String::new()),
        Err(error) => Err(format!("cannot read {path}: {error}")),
    };
    let wanted = words::parse(&text("/hc/config")?, &text("/proc/cmdline")?)?;
    modules::load()?;
    // Who has an identity to wait for touches no disk before that is written to: it may be saved while it
    // waits, and go on with other disks.
    if let Some(port) = Port::open()? {
        return agent::run(port, &wanted);
    }
    root::mount(&wanted, None)?;
    payload::enter_root(&payload::SPECIAL)?;
    if wanted.command.is_empty() {
        return Err(payload::execute_init(&wanted, &Payload::default()));
    }
    payload::run(&wanted.command)
}

fn special_file_systems() -> Result<(), String> {
    let strict = sys::MS_NOSUID | sys::MS_NODEV | sys::MS_NOEXEC;
    for (kind, target, flags) in
        [("devtmpfs", "/dev", sys::MS_NOSUID), ("proc", "/proc", strict), ("sysfs", "/sys", strict)]
    {
        sys::mkdir(target)
            .and_then(|()| sys::mount(kind, target, kind, flags, ""))
            .map_err(|error| format!("cannot mount {target}: {error}"))?;
    }
    not_crawl();
    // The kernel gave this process the console that it knew before /dev was there.
    sys::take_console();
    Ok(())
}

/// When memory runs out, has the kernel end something rather than read programs again and again for
/// minutes: what was used within this time stays where it is
/// (<https://docs.kernel.org/admin-guide/mm/multigen_lru.html>). Not every kernel can.
fn not_crawl() {
    const WORKING_SET_MS: &str = "1000";
    for (name, value) in [("enabled", "y"), ("min_ttl_ms", WORKING_SET_MS)] {
        let path = format!("/sys/kernel/mm/lru_gen/{name}");
        let _ =
            sys::open(&path, sys::at::WRITE).and_then(|file| sys::write(&file, value.as_bytes()));
    }
}

/// Says why nothing runs, and powers off.
pub fn give_up(why: &str) -> ! {
    sys::say(&format!("hc: this machine cannot start: {why}\n"));
    end()
}

/// Ends every process, writes everything out, and powers off.
pub fn end() -> ! {
    let _ = process::kill(-1, process::SIGTERM);
    sys::sleep_ms(20);
    let _ = process::kill(-1, process::SIGKILL);
    sys::sync();
    mounts::unmount_all();
    let _ = sys::mount("", "/", "", sys::MS_REMOUNT | sys::MS_RDONLY, "");
    root::close_layer();
    sys::power_off()
}
