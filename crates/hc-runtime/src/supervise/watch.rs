//! While a machine runs.

use super::Run;
use super::health::Checks;
use super::question::{Asked, Entered};
use super::start::Machine;
use crate::error::{Doing, Problem, Res, RunError};
use crate::exec::terminal;
use crate::logs::Stream;
use crate::notify::{self, Notice};
use crate::protocol::{Order, Report};
use crate::status::{Exit, Phase};
use crate::sys::process::Ended;
use crate::timing::{Stage, Step};
use hc_spec::machine::ReadyWhen;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::RecvFlags;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// What has happened so far.
#[derive(Default)]
struct Course {
    ended: Option<Ended>,
    requested: bool,
    killed: bool,
    kill_at: Option<Instant>,
    failed: Option<String>,
    gone: bool,
    /// The payload is the first process itself: nobody speaks for it any more.
    silent: bool,
    unhealthy: Option<String>,
    checks: Checks<Asked>,
}

impl Run<'_> {
    /// Keeps the log and the status until the machine's last process is gone.
    pub(super) fn watch(&mut self, mut machine: Machine) -> Result<Exit, RunError> {
        let name = self.spec.name.as_str();
        let watched = self.watch_it(&mut machine).map_err(|problem| problem.of(name));
        drop(machine);
        watched
    }

    fn watch_it(&mut self, machine: &mut Machine) -> Res<Exit> {
        // The caller's terminal is raw as long as the machine has one.
        let _raw = match &machine.terminal {
            Some(terminal) => self.relay.terminal(terminal)?,
            None => None,
        };
        for pipe in machine.output.iter().flatten() {
            rustix::io::ioctl_fionbio(pipe, true).doing("read the machine's output")?;
        }
        let mut course = Course::default();
        let mut open = [machine.output.is_some(); 2];
        while course.ended.is_none() && course.failed.is_none() && !course.gone {
            let wait = course.checks.next().into_iter().chain(course.kill_at).min().map(|at| {
                let left = at.saturating_duration_since(Instant::now());
                Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 })
            });
            let mut wanted = vec![PollFd::new(&self.signals.fd, PollFlags::IN)];
            wanted.push(match course.silent {
                true => PollFd::from_borrowed_fd(machine.init.pidfd(), PollFlags::IN),
                false => PollFd::new(&machine.control, PollFlags::IN),
            });
            wanted.extend(machine.notify.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
            for (fd, open) in machine.output.iter().flatten().zip(open) {
                if open {
                    wanted.push(PollFd::new(fd, PollFlags::IN));
                }
            }
            self.relay.want(&mut wanted);
            wanted.extend(course.checks.asked().map(Asked::wants));
            match poll(&mut wanted, wait.as_ref()) {
                Err(rustix::io::Errno::INTR) => continue,
                ready => ready.doing("wait for the machine")?,
            };
            course.gone = course.silent && !wanted[1].revents().is_empty();
            drop(wanted);
            open = self.read_output(machine, true);
            self.relay.pass();
            self.hear_init(machine, &mut course)?;
            self.hear_payload(machine)?;
            self.hear_signals(machine, &mut course)?;
            self.hear_answers(machine, &mut course)?;
            if course.kill_at.is_some_and(|at| at <= Instant::now()) && course.ended.is_none() {
                course.kill_at = None;
                course.killed = true;
                self.log.say("hc: it did not stop in time: killing it");
                machine.init.kill();
            }
        }
        if let Some(problem) = course.failed {
            return Err(Problem::Plain(problem));
        }
        // While the kernel takes the machine's namespaces and memory away. A refusal is told after that.
        self.detached = self.detach().is_ok();
        let init = machine.init.wait().doing("wait for the machine's end")?;
        // Nobody has the other ends any more.
        while self.read_output(machine, false) != [false, false] {}
        self.relay.finish();
        let mut exit =
            Exit { requested: course.requested, killed: course.killed, ..Exit::default() };
        exit.unhealthy = course.unhealthy;
        match course.ended.unwrap_or(init) {
            Ended::Code(code) => exit.code = Some(code),
            Ended::Signal(signal) => exit.signal = Some(signal),
        }
        Ok(exit)
    }

    /// Takes what is there; says which streams may bring more, where nothing yet is `quiet`.
    fn read_output(&mut self, machine: &Machine, quiet: bool) -> [bool; 2] {
        let mut read = |fd: &OwnedFd, stream| {
            let mut bytes = vec![0; 64 << 10];
            match rustix::io::read(fd, &mut bytes) {
                Ok(0) => false,
                Ok(length) => {
                    self.log.feed(stream, &bytes[..length]);
                    true
                }
                Err(rustix::io::Errno::INTR) => true,
                Err(rustix::io::Errno::AGAIN) => quiet,
                Err(_) => false,
            }
        };
        match &machine.output {
            Some([out, err]) => [read(out, Stream::Out), read(err, Stream::Err)],
            None => [false, false],
        }
    }

    fn hear_init(&mut self, machine: &Machine, course: &mut Course) -> Res<()> {
        loop {
            match Report::receive(machine.control.as_fd(), false) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).doing("hear from the machine's init"),
                Ok(None) => {
                    course.silent = true;
                    course.gone |= !self.spec.is_init();
                    return Ok(());
                }
                Ok(Some(Report::Started)) => {
                    let ready = self.spec.ready.when == ReadyWhen::Started;
                    self.come_to(if ready { Phase::Ready } else { Phase::Running })?;
                }
                Ok(Some(Report::Ready)) => self.come_to(Phase::Ready)?,
                Ok(Some(Report::Exited(status))) => course.ended = Some(Ended::from_wait(status)),
                Ok(Some(Report::Failed(problem))) => course.failed = Some(problem),
                Ok(Some(Report::Streams(_))) => {}
            }
        }
    }

    fn hear_payload(&mut self, machine: &Machine) -> Res<()> {
        let Some(socket) = &machine.notify else { return Ok(()) };
        let mut datagram = vec![0; 8 << 10];
        while let Ok((length, _)) =
            rustix::net::recv(socket, datagram.as_mut_slice(), RecvFlags::DONTWAIT)
        {
            let notice = Notice::parse(&datagram[..length]);
            if notice.status.is_some() {
                self.status.text = notice.status;
                self.status.write(&self.places)?;
            }
            if notice.ready {
                self.come_to(Phase::Ready)?;
            }
            if notice.stopping {
                self.come_to(Phase::Stopping)?;
            }
        }
        Ok(())
    }

    fn hear_signals(&mut self, machine: &Machine, course: &mut Course) -> Res<()> {
        while let Some(signal) = self.signals.next() {
            if signal == libc::SIGWINCH {
                machine.terminal.iter().for_each(terminal::copy_size);
                continue;
            }
            if course.ended.is_some() {
                continue;
            }
            if course.requested {
                course.kill_at = Some(Instant::now());
                continue;
            }
            course.requested = true;
            self.ask_to_stop(machine, course)?;
        }
        Ok(())
    }

    fn ask_to_stop(&mut self, machine: &Machine, course: &mut Course) -> Res<()> {
        course.checks = Checks::default();
        self.come_to(Phase::Stopping)?;
        let timeout = Duration::from_secs(self.spec.stop.timeout_sec.into());
        course.kill_at = Some(Instant::now() + timeout);
        let signal = crate::signal::number(self.spec.stop.signal()).unwrap_or(libc::SIGTERM);
        if self.spec.is_init() {
            machine.init.signal(signal);
        } else {
            // Init may have ended this moment; then its last words are still to be read.
            let _ = Order::Signal(signal).send(machine.control.as_fd());
        }
        Ok(())
    }

    /// Asks what is to be asked now, and draws the conclusions from the answers.
    fn hear_answers(&mut self, machine: &Machine, course: &mut Course) -> Res<()> {
        if course.ended.is_some() || self.status.phase == Phase::Stopping {
            return Ok(());
        }
        if let Some(why) = self.check(&mut course.checks, &mut Entered(&machine.init))? {
            course.unhealthy = Some(why);
            self.ask_to_stop(machine, course)?;
        }
        Ok(())
    }

    /// A phase is entered once, and a machine that stops is not ready any more.
    pub(crate) fn come_to(&mut self, phase: Phase) -> Res<()> {
        let rank = |phase| match phase {
            Phase::Starting => 0,
            Phase::Running => 1,
            Phase::Ready => 2,
            Phase::Stopping => 3,
            Phase::Exited | Phase::Failed => 4,
        };
        if rank(phase) <= rank(self.status.phase) {
            return Ok(());
        }
        let now = self.clock.us();
        if self.marks[1] == 0 && matches!(phase, Phase::Running | Phase::Ready) {
            let stage = Stage { step: Step::Exec, from_us: self.marks[0], to_us: now };
            self.status.timing.push(stage);
            self.marks[1] = now;
        }
        if phase == Phase::Ready {
            let stage = Stage { step: Step::Ready, from_us: self.marks[1], to_us: now };
            self.status.timing.push(stage);
        }
        if let Some(socket) = &self.config.notify {
            match phase {
                Phase::Ready => notify::tell(socket, "READY=1\n"),
                Phase::Stopping => notify::tell(socket, "STOPPING=1\n"),
                _ => {}
            }
        }
        self.enter(phase)
    }
}
