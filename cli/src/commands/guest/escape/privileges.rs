//! What the process is allowed to be.

use super::{Check, Outcome};

fn status(field: &str) -> Result<String, String> {
    let text = std::fs::read_to_string("/proc/self/status").map_err(|e| e.to_string())?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(":\t"));
    line.map(str::to_owned).ok_or_else(|| format!("no {field} in /proc/self/status"))
}

/// Without these eleven, hc gives none (`crates/hc-runtime/src/inside/capabilities.rs`).
const GIVEN: u64 = 0x2004_05fb;

fn within(field: &'static str) -> impl Fn() -> Outcome {
    move || {
        let set = status(field)?;
        let bits = u64::from_str_radix(&set, 16).map_err(|e| e.to_string())?;
        let more = bits & !GIVEN;
        if more == 0 { Ok(()) } else { Err(format!("{field} has {more:x} more")) }
    }
}

fn is(field: &'static str, expected: &'static str) -> impl Fn() -> Outcome {
    move || {
        let value = status(field)?;
        if value == expected { Ok(()) } else { Err(format!("{field} is {value}")) }
    }
}

pub fn checks() -> Vec<Check> {
    vec![
        Check::new("capabilities: the bounding set is small", within("CapBnd")),
        Check::new("capabilities: the effective set is small", within("CapEff")),
        Check::new("capabilities: the permitted set is small", within("CapPrm")),
        Check::anywhere("capabilities: none is inheritable", is("CapInh", "0000000000000000")),
        Check::anywhere("capabilities: none is ambient", is("CapAmb", "0000000000000000")),
        Check::new("no new privileges", is("NoNewPrivs", "1")),
        Check::new("a system call filter is on", is("Seccomp", "2")),
        Check::new("users are others on the host", || {
            let map = std::fs::read_to_string("/proc/self/uid_map").map_err(|e| e.to_string())?;
            let words: Vec<&str> = map.split_whitespace().collect();
            match words[..] {
                ["0", base, "65536"] if base != "0" => Ok(()),
                _ => Err(format!("uid_map is {}", words.join(" "))),
            }
        }),
        Check::new("groups are others on the host", || {
            let map = std::fs::read_to_string("/proc/self/gid_map").map_err(|e| e.to_string())?;
            let words: Vec<&str> = map.split_whitespace().collect();
            match words[..] {
                ["0", base, "65536"] if base != "0" => Ok(()),
                _ => Err(format!("gid_map is {}", words.join(" "))),
            }
        }),
        Check::new("a higher priority", || {
            // SAFETY: changes a number of this process.
            let done = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
            // SAFETY: the same.
            unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 0) };
            if done == 0 { Err("it works".into()) } else { Ok(()) }
        }),
        Check::new("real-time scheduling", || {
            let one = libc::sched_param { sched_priority: 1 };
            let none = libc::sched_param { sched_priority: 0 };
            // SAFETY: reads the structures, changes how this process is scheduled, and back.
            let done = unsafe {
                let done = libc::syscall(
                    libc::SYS_sched_setscheduler,
                    0,
                    libc::SCHED_FIFO,
                    &raw const one,
                );
                libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_OTHER, &raw const none);
                done
            };
            if done == 0 { Err("it works".into()) } else { Ok(()) }
        }),
        Check::new("another host name", || {
            let name = rustix::system::uname();
            match rustix::system::sethostname(name.nodename().to_bytes()) {
                Ok(()) => Err("it works".into()),
                Err(_) => Ok(()),
            }
        }),
        Check::anywhere("a higher limit of open files", || {
            use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
            let Some(now) = getrlimit(Resource::Nofile).maximum else {
                return Err("there is no limit".into());
            };
            let more = Rlimit { current: Some(now), maximum: Some(now + 1) };
            if setrlimit(Resource::Nofile, more).is_ok() { Err("it works".into()) } else { Ok(()) }
        }),
    ]
}
