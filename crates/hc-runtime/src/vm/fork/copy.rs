//! The fork's side: a computer that is on before there is anything in it.

use super::{Done, Facts, SOCKET, Wanted, hear, say};
use crate::config::Places;
use crate::error::{Doing, Problem, Res};
use crate::status::Forked;
use crate::vm::command::Memory;
use crate::vm::resume;
use crate::vm::spawn::Qemu;
use crate::vm::stream::pair;
use hc_spec::Name;
use hc_spec::addr::Mac;
use rustix::fs::{Mode, OFlags};
use rustix::net::sockopt::set_socket_timeout;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long the original may take: it copies as long as it writes faster than that.
const PATIENCE: Duration = Duration::from_secs(120);

/// A fork that is to come in from a machine that runs.
pub(in crate::vm) struct Incoming {
    of: Name,
    original: OwnedFd,
    facts: Facts,
}

impl Incoming {
    /// Asks the supervisor of machine `of`.
    pub fn ask(run_dir: &Path, of: &Name) -> Res<Self> {
        let path = Places::new(run_dir, Path::new(""), of.as_str()).run.join(SOCKET);
        let socket = UnixStream::connect(&path).doing_with(|| {
            format!("ask machine '{of}' for a fork of itself at {}", path.display())
        })?;
        let original = OwnedFd::from(socket);
        let receive = rustix::net::sockopt::Timeout::Recv;
        set_socket_timeout(&original, receive, Some(PATIENCE)).doing("wait for an answer")?;
        let (facts, _) = hear(&original)?;
        Ok(Self { of: of.clone(), original, facts })
    }

    /// The addresses of its devices, which are the original's.
    pub fn macs(&self) -> Vec<Mac> {
        self.facts.macs.iter().copied().map(Mac).collect()
    }

    /// Where its memory comes from.
    pub fn memory(&self) -> Memory {
        Memory::Sent(self.facts.block)
    }

    /// Bytes of its disk.
    pub fn size(&self) -> u64 {
        self.facts.size
    }

    /// Bytes of its volumes, in the order of their names.
    pub fn volumes(&self) -> &[u64] {
        &self.facts.volumes
    }

    /// Takes memory and disks in, and has the computer go on. `disks` are the files that QEMU has for them:
    /// the disk, then the volumes.
    pub fn take(self, qemu: &mut Qemu, disks: &[&Path]) -> Res<Forked> {
        let (theirs, ours) = pair().doing("make a socket pair")?;
        resume::receive(&mut qemu.qmp, ours.as_fd()).map_err(Problem::Plain)?;
        drop(ours);
        // QEMU has the files by other descriptions, and locks those.
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let open = |disk: &&Path| {
            let file = rustix::fs::open(*disk, flags, Mode::empty());
            file.doing_with(|| format!("open {}", disk.display()))
        };
        let files = disks.iter().map(open).collect::<Res<Vec<OwnedFd>>>()?;
        let sent: Vec<_> = std::iter::once(&theirs).chain(&files).map(AsFd::as_fd).collect();
        say(self.original.as_fd(), &Wanted {}, &sent)?;
        drop((theirs, files));
        match hear(&self.original)?.0 {
            Done::Forked { pause_us, disk } => {
                resume::received(&mut qemu.qmp).map_err(Problem::Plain)?;
                Ok(Forked { of: self.of, pause_us, disk })
            }
            Done::Failed(why) => Err(Problem::Plain(format!("no fork of '{}': {why}", self.of))),
        }
    }
}
