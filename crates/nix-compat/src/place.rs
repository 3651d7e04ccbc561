//! Making files, directories and symlinks as they are kept in a store: modes 444 and 555, a second
//! after the epoch; or as a process makes them. With no call more than that takes.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;
use rustix::path::Arg;

const TIMES: Timestamps = Timestamps {
    last_access: Timespec { tv_sec: 1, tv_nsec: 0 },
    last_modification: Timespec { tv_sec: 1, tv_nsec: 0 },
};

/// How things are made by this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// As in a store.
    canonical: bool,
    /// A file gets the mode that it is made with.
    files: bool,
    /// And so does a directory, in which more can be made all the same.
    directories: bool,
}

impl Places {
    /// For a place that changes modes itself, by access lists.
    pub const CAREFUL: Self = Self { canonical: true, files: false, directories: false };

    /// For what is not in a store: modes follow from the umask, times are when things were made.
    pub const PLAIN: Self = Self { canonical: false, files: true, directories: true };

    /// Looks at what the process is allowed to, and at its umask.
    #[must_use]
    pub fn new() -> Self {
        std::fs::read_to_string("/proc/thread-self/status")
            .map_or(Self::CAREFUL, |status| Self::of(&status))
    }

    /// From proc(5)'s `status` of a thread.
    fn of(status: &str) -> Self {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map(|rest| rest.trim_start_matches(':').trim())
        };
        let umask = field("Umask").and_then(|text| u32::from_str_radix(text, 8).ok());
        let files = umask.is_some_and(|umask| umask & 0o555 == 0);
        // CAP_DAC_OVERRIDE, of linux/capability.h: a directory's mode is no obstacle.
        let capabilities = field("CapEff").and_then(|text| u64::from_str_radix(text, 16).ok());
        let directories = files && capabilities.is_some_and(|all| all & 1 << 1 != 0);
        Self { canonical: true, files, directories }
    }

    /// Makes a file, to be filled and then finished.
    ///
    /// # Errors
    /// When something has the name, or it cannot be made.
    pub fn start_file(
        self,
        parent: BorrowedFd<'_>,
        name: impl Arg,
        executable: bool,
    ) -> Result<OwnedFd, Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        rustix::fs::openat(parent, name, flags | OFlags::NOFOLLOW, self.mode(executable))
    }

    /// Gives a file its mode and time, when all is in it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn finish_file(self, file: impl AsFd, executable: bool) -> Result<(), Errno> {
        if !self.files {
            rustix::fs::fchmod(&file, self.mode(executable))?;
        }
        if !self.canonical {
            return Ok(());
        }
        rustix::fs::futimens(file, &TIMES)
    }

    /// Makes a directory, to be filled and then finished.
    ///
    /// # Errors
    /// When something has the name, or it cannot be made.
    pub fn start_directory(
        self,
        parent: BorrowedFd<'_>,
        name: impl Arg + Copy,
    ) -> Result<OwnedFd, Errno> {
        let mode = if self.directories { self.mode(true) } else { Mode::RWXU };
        rustix::fs::mkdirat(parent, name, mode)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::openat(parent, name, flags, Mode::empty())
    }

    /// Gives a directory its mode and time, when all is in it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn finish_directory(self, directory: impl AsFd) -> Result<(), Errno> {
        if !self.directories {
            rustix::fs::fchmod(&directory, self.mode(true))?;
        }
        if !self.canonical {
            return Ok(());
        }
        rustix::fs::futimens(directory, &TIMES)
    }

    /// Makes a symlink.
    ///
    /// # Errors
    /// When something has the name, or it cannot be made.
    pub fn symlink(
        self,
        parent: BorrowedFd<'_>,
        name: impl Arg + Copy,
        target: impl Arg,
    ) -> Result<(), Errno> {
        rustix::fs::symlinkat(target, parent, name)?;
        if !self.canonical {
            return Ok(());
        }
        rustix::fs::utimensat(parent, name, &TIMES, AtFlags::SYMLINK_NOFOLLOW)
    }

    fn mode(self, executable: bool) -> Mode {
        Mode::from_raw_mode(match (self.canonical, executable) {
            (true, false) => 0o444,
            (true, true) => 0o555,
            (false, false) => 0o666,
            (false, true) => 0o777,
        })
    }
}

impl Default for Places {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_is_tells_which_calls_are_needed() {
        let of = |umask: &str, capabilities: &str| {
            let Places { files, directories, .. } =
                Places::of(&format!("Name:\tx\nUmask:\t{umask}\nCapEff:\t{capabilities}\n"));
            (files, directories)
        };
        assert_eq!(of("0022", "000001ffffffffff"), (true, true));
        assert_eq!(of("0022", "0000000000000000"), (true, false));
        assert_eq!(of("0022", "0000000000000001"), (true, false));
        assert_eq!(of("0000", "0000000000000002"), (true, true));
        assert_eq!(of("0077", "000001ffffffffff"), (false, false));
        assert_eq!(of("0027", "000001ffffffffff"), (false, false));
        assert_eq!(Places::of(""), Places::CAREFUL);
    }
}
