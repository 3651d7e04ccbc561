//! Names of signals.

const NAMES: [(&str, i32); 29] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

/// The name of a signal, without `SIG`.
pub(crate) fn name(number: i32) -> Option<&'static str> {
    NAMES.iter().find(|(_, known)| *known == number).map(|(name, _)| *name)
}

/// The number of `TERM`, `SIGTERM`, `RTMIN+3`, `15`.
pub(crate) fn number(name: &str) -> Option<i32> {
    // Real-time signals as the C library numbers them: the kernel's first two are its own.
    const RTMIN: i32 = 34;
    const RTMAX: i32 = 64;
    let name = name.strip_prefix("SIG").unwrap_or(name);
    let known = NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    let real_time = || match name.strip_prefix("RTMIN") {
        Some("") => Some(RTMIN),
        Some(offset) => Some(RTMIN + offset.strip_prefix('+')?.parse::<u8>().ok().map(i32::from)?),
        None => match name.strip_prefix("RTMAX")? {
            "" => Some(RTMAX),
            offset => Some(RTMAX - offset.strip_prefix('-')?.parse::<u8>().ok().map(i32::from)?),
        },
    };
    known
        .or_else(|| name.parse().ok())
        .or_else(real_time)
        .filter(|number| (1..=RTMAX).contains(number) && ![32, 33].contains(number))
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn names_numbers_and_real_time() {
        for (name, expected) in [
            ("TERM", Some(15)),
            ("SIGTERM", Some(15)),
            ("15", Some(15)),
            ("RTMIN", Some(34)),
            ("RTMIN+3", Some(37)),
            ("SIGRTMAX-1", Some(63)),
            ("RTMIN+99", None),
            ("RTMIN-1", None),
            ("0", None),
            ("32", None),
            ("-1", None),
            ("", None),
            ("TERMS", None),
        ] {
            assert_eq!(number(name), expected, "{name}");
        }
    }
}
