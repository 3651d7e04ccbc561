//! While a virtual machine runs.

use super::channel::Told;
use super::ending::Down;
use super::own::Own;
use super::qmp::Said;
use super::{Machine, Service, said};
use crate::error::{Doing, Problem, Res};
use crate::logs::Stream as Output;
use crate::notify::Notice;
use crate::status::{Exit, Phase};
use crate::supervise::Run;
use crate::supervise::health::Checks;
use crate::sys::process::Ended;
use crate::timing::Step;
use hc_guest::wire::{End, MACHINE, ToGuest};
use hc_spec::machine::{Kind, ReadyWhen};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;
use std::time::{Duration, Instant};

/// How long a guest may take to power off after it has said how it ended.
const FAREWELL: Duration = Duration::from_secs(5);

/// What has happened so far.
#[derive(Default)]
struct Course {
    /// How the payload ended.
    ended: Option<End>,
    /// The guest's kernel has killed something for want of memory.
    oom: bool,
    /// Why it is thought not to work any more.
    unhealthy: Option<String>,
    checks: Checks<u32>,
    requested: bool,
    killed: bool,
    /// When a guest that does not hear the channel is asked by its power button.
    press_at: Option<Instant>,
    kill_at: Option<Instant>,
    failed: Option<String>,
    /// Why QEMU ends, in its words.
    reason: Option<String>,
    /// The last that QEMU itself said.
    complaint: String,
}

impl Course {
    /// Not later than that.
    fn kill_within(&mut self, longest: Duration) {
        let then = Instant::now() + longest;
        self.kill_at = Some(self.kill_at.map_or(then, |at| at.min(then)));
    }

    fn wait(&self) -> Option<Duration> {
        let next = [self.press_at, self.kill_at].into_iter().flatten().min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }
}

impl Run<'_> {
    pub(super) fn watch_vm(&mut self, mut machine: Machine) -> Res<Exit> {
        let mut course = Course::default();
        while !self.wait_for(&machine, &course)? {
            self.attend(&mut machine, &mut course)?;
            self.hear_asked(&mut machine, &mut course)?;
            self.hear_guest(&mut machine, &mut course)?;
            let due = |at: Option<Instant>| at.is_some_and(|at| at <= Instant::now());
            if due(course.press_at) {
                course.press_at = None;
                machine.qmp.command("system_powerdown", &json!({}));
            }
            if due(course.kill_at) && !course.killed {
                course.killed = true;
                if course.ended.is_none() && course.failed.is_none() {
                    self.log.say("hc: it did not stop in time: killing it");
                }
                machine.process.kill();
            }
        }
        let ended = machine.process.wait().doing("wait for QEMU's end")?;
        // What it said last is still to be read.
        self.attend(&mut machine, &mut course)?;
        let console = machine.console.last().to_vec();
        drop(machine);
        self.exit(course, ended, &console)
    }

    /// Waits for something to do; whether QEMU has ended.
    fn wait_for(&self, machine: &Machine, course: &Course) -> Res<bool> {
        let mut wanted = vec![PollFd::from_borrowed_fd(machine.process.pidfd(), PollFlags::IN)];
        wanted.push(PollFd::new(&self.signals.fd, PollFlags::IN));
        let doors = machine.doors.iter().filter(|(service, _)| machine.takes(*service));
        wanted.extend(doors.map(|(_, door)| PollFd::new(door, PollFlags::IN)));
        if machine.qmp.is_open() {
            wanted.push(PollFd::new(&machine.qmp, machine.qmp.events()));
        }
        if machine.said.is_open() {
            wanted.push(PollFd::new(&machine.said, PollFlags::IN));
        }
        let channel = machine.channel.iter().flat_map(super::Channel::wanted);
        let pc = machine.pc.iter().flat_map(super::q35::Running::wanted);
        let others =
            channel.chain(pc).chain(machine.console.wanted()).chain(machine.still.wanted());
        let others = others.chain(machine.memory.wanted()).chain(machine.disks.wanted());
        wanted.extend(others.map(|(fd, events)| PollFd::from_borrowed_fd(fd, events)));
        wanted.extend(machine.own.as_ref().and_then(Own::wanted));
        let keys = machine.pc.as_ref().and_then(super::q35::Running::wait);
        let forking = machine.forking.as_ref();
        wanted.extend(forking.map(|f| PollFd::from_borrowed_fd(f.socket(), PollFlags::IN)));
        let forking = forking.and_then(super::Forking::wait);
        let asks = course.checks.next().map(|at| at.saturating_duration_since(Instant::now()));
        let wait = [course.wait(), keys, asks, machine.still.wait(), forking];
        let wait = wait.into_iter().flatten().min();
        let wait =
            wait.map(|left| Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 }));
        match poll(&mut wanted, wait.as_ref()) {
            Err(rustix::io::Errno::INTR) => return Ok(false),
            ready => ready.doing("wait for the machine")?,
        };
        Ok(!wanted[0].revents().is_empty())
    }

    /// Hears and passes on what is there now.
    fn attend(&mut self, machine: &mut Machine, course: &mut Course) -> Res<()> {
        let doors = machine.doors.iter().filter(|(service, _)| *service != Service::Fork);
        for (service, door) in doors {
            while let Some(socket) = door.next() {
                match (service, &mut machine.channel) {
                    (Service::Sessions, Some(channel)) => channel.welcome(socket),
                    (Service::Sessions, None) => {}
                    (Service::Console, _) => machine.console.welcome(socket),
                    (Service::Screen, _) => machine.qmp.show(&socket),
                    (Service::Fork, _) => {}
                    (Service::Memory, _) => machine.memory.welcome(socket),
                    (Service::Disk, _) => machine.disks.welcome(socket),
                    (Service::Still, _) => machine.still.welcome(socket, &mut machine.qmp),
                }
            }
        }
        if let Err(problem) = machine.still.pass(&mut machine.qmp) {
            self.log.say(&format!("hc: it does not go on: {problem}"));
        }
        let memory = self.spec.vm.as_ref().map_or(0, |vm| vm.memory);
        machine.memory.pass(|line| super::balloon::asked(&mut machine.qmp, memory, line));
        let mut disks = std::mem::take(&mut machine.disks);
        disks.pass(|line| super::resize::asked(machine, self.spec, line));
        machine.disks = disks;
        machine.console.pass();
        for said in machine.qmp.hear() {
            match said {
                Said::Event(name, data) if name == "SHUTDOWN" => {
                    course.reason = data["reason"].as_str().map(str::to_owned);
                }
                Said::Error(_, problem) => self.log.say(&format!("hc: QEMU refused: {problem}")),
                Said::Return(..) => machine.pc.iter_mut().for_each(super::q35::Running::turned_on),
                Said::Hello(_) | Said::Event(..) => {}
            }
        }
        for line in String::from_utf8_lossy(&machine.said.read()).lines() {
            self.log.say(&format!("qemu: {line}"));
            course.complaint = line.to_owned();
        }
        let told: Vec<_> = machine.channel.iter_mut().flat_map(super::Channel::pass).collect();
        for told in told {
            if matches!(told, Told::Hello(_)) {
                self.save_and_tell(machine)?;
            }
            if !self.told_of_fork(machine, &told)? {
                self.told(told, machine, course)?;
            }
        }
        if let (Some(own), Some(channel)) = (&mut machine.own, &mut machine.channel) {
            own.pass_input(channel).map_err(said)?;
        }
        self.attend_fork(machine)?;
        if let Some(pc) = &mut machine.pc {
            for line in pc.said() {
                self.log.say(&line);
            }
            if pc.is_ready() {
                self.come_to(Phase::Ready)?;
            }
            pc.press(&mut machine.qmp);
        }
        Ok(())
    }

    fn told(&mut self, told: Told, machine: &mut Machine, course: &mut Course) -> Res<()> {
        match told {
            Told::Grow(session, volume) => {
                // A fork's disks are as large as they were when it was begun.
                let grown = match machine.forking {
                    Some(_) => Err("the machine is being forked; try again".into()),
                    None => self.grow(machine, &volume),
                };
                let Some(channel) = &mut machine.channel else { return Ok(()) };
                match grown {
                    Ok((serial, bytes)) => channel.send(session, &ToGuest::Grow(serial, bytes)),
                    Err(why) => channel.refuse(session, why),
                }
                .map_err(said)?;
            }
            Told::Identified => {
                if self.status.phase == Phase::Starting {
                    self.status.timing.push(self.clock.stage(Step::Identity, self.marks[0]));
                    self.marks[0] = self.clock.us();
                }
            }
            Told::Hello(_) | Told::Quiet | Told::Mounted | Told::Rehearsed => {}
            Told::Room(count) => machine.own.iter_mut().for_each(|own| own.allow(count)),
            Told::Started => {
                machine.own.iter_mut().for_each(Own::started);
                if let Some(bytes) = self.spec.vm.as_ref().and_then(|vm| vm.balloon)
                    && let Err(why) = super::balloon::set(&mut machine.qmp, bytes)
                {
                    self.log.say(&format!("hc: it uses all of its memory: {why}"));
                }
                let ready = self.spec.ready.when == ReadyWhen::Started;
                self.come_to(if ready { Phase::Ready } else { Phase::Running })?;
            }
            // One that is asked says it by its answers.
            Told::Ready if self.spec.ready.question().is_some() => {}
            Told::Ready => self.come_to(Phase::Ready)?,
            Told::Notify(text) => {
                let notice = Notice::parse(text.as_bytes());
                if notice.status.is_some() {
                    self.status.text = notice.status;
                    self.status.write(&self.places)?;
                }
                if notice.stopping {
                    self.come_to(Phase::Stopping)?;
                }
            }
            Told::Output(stream, bytes) => {
                if let (Some(own), Some(channel)) = (&mut machine.own, &mut machine.channel) {
                    return own.write(stream, &bytes, channel).map_err(said);
                }
                self.log.feed(if stream == 2 { Output::Err } else { Output::Out }, &bytes);
            }
            Told::Ended(end, oom) => {
                (course.ended, course.oom) = (Some(end), oom);
                course.kill_within(FAREWELL);
            }
            Told::Failed(why) => {
                course.failed = Some(why);
                course.kill_within(FAREWELL);
            }
            Told::Broken(error) => {
                course.failed = Some(error.to_string());
                course.kill_within(Duration::ZERO);
            }
        }
        Ok(())
    }

    /// Makes the disk of a volume as large as its image: its serial number, and its bytes.
    fn grow(&self, machine: &mut Machine, volume: &str) -> Result<(String, u64), String> {
        let images = self.spec.volumes.keys().zip(self.volumes.images()).enumerate();
        let mut found = images.filter(|(_, (name, _))| name.as_str() == volume);
        let Some((index, (_, image))) = found.next() else {
            return Err(format!("it has no volume '{volume}'"));
        };
        let looked = std::fs::metadata(image);
        let bytes = looked.map_err(|error| format!("cannot look at its image: {error}"))?.len();
        let serial = super::command::volume(index);
        machine.qmp.ask("block_resize", &json!({"node-name": serial, "size": bytes}))?;
        Ok((serial, bytes))
    }

    /// Does what this process is asked to by signals.
    fn hear_asked(&mut self, machine: &mut Machine, course: &mut Course) -> Res<()> {
        while let Some(signal) = self.signals.next() {
            if signal == libc::SIGWINCH {
                if let (Some(own), Some(channel)) = (&machine.own, &mut machine.channel) {
                    own.resize(channel).map_err(said)?;
                }
                continue;
            }
            if course.requested {
                course.kill_within(Duration::ZERO);
                continue;
            }
            course.requested = true;
            self.tell_to_stop(machine, course)?;
        }
        Ok(())
    }

    fn tell_to_stop(&mut self, machine: &mut Machine, course: &mut Course) -> Res<()> {
        self.no_fork(machine)?;
        self.come_to(Phase::Stopping)?;
        course.checks = Checks::default();
        if course.ended.is_some() {
            return Ok(());
        }
        let longest = Duration::from_secs(self.spec.stop.timeout_sec.into());
        match &mut machine.channel {
            Some(channel) if channel.is_identified() => {
                channel.send(MACHINE, &ToGuest::Stop).map_err(said)?;
                course.kill_within(longest);
                course.press_at = Some(Instant::now() + longest / 2);
            }
            // Nothing of the machine's own runs yet.
            Some(_) => course.kill_within(Duration::ZERO),
            None => {
                course.kill_within(longest);
                machine.qmp.command("system_powerdown", &json!({}));
                // Some systems wake up at the first, and hear the second.
                course.press_at = Some(Instant::now() + longest / 2);
            }
        }
        Ok(())
    }

    /// Asks what is to be asked now, and ends a machine that does not work.
    fn hear_guest(&mut self, machine: &mut Machine, course: &mut Course) -> Res<()> {
        let over = course.ended.is_some() || course.failed.is_some();
        let Some(channel) = machine.channel.as_mut().filter(|channel| channel.is_identified())
        else {
            return Ok(());
        };
        if over || self.status.phase == Phase::Stopping {
            return Ok(());
        }
        if let Some(why) = self.check(&mut course.checks, channel)? {
            course.unhealthy = Some(why);
            self.tell_to_stop(machine, course)?;
        }
        Ok(())
    }

    /// Whether what it powers off by is no process that could say how it ended.
    fn ends_silently(&self) -> bool {
        self.spec.is_init() || self.spec.kind == Kind::Q35
    }

    /// What it all comes to.
    fn exit(&self, course: Course, qemu: Ended, console: &[u8]) -> Res<Exit> {
        let reason = course.reason.as_deref();
        let name = self.spec.name.as_str();
        let down = Down { name, reason, qemu, complaint: &course.complaint, console };
        let mut exit = match (course.ended, course.failed) {
            (Some(End::Code(code)), _) => Exit { oom: course.oom, ..Exit::code(code.into()) },
            (Some(End::Signal(signal)), _) => {
                Exit { oom: course.oom, ..Exit::signal(signal.into()) }
            }
            (None, Some(problem)) => return Err(Problem::Plain(problem)),
            (None, None) if course.killed => Exit { killed: true, ..Exit::signal(libc::SIGKILL) },
            // An init powers the machine off itself, and is not there to say how it ended.
            (None, None) if reason == Some("guest-shutdown") && self.ends_silently() => {
                Exit { oom: down.out_of_memory(), ..Exit::code(0) }
            }
            (None, None) => down.exit(),
        };
        (exit.requested, exit.unhealthy) = (course.requested, course.unhealthy);
        Ok(exit)
    }
}
