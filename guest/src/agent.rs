//! What stays behind when the payload runs, and does what the host says on the port `hc.guest`: as
//! process 1 beside a command, as a process of its own beside an image's init.

mod freezer;
mod hooks;
pub mod port;
mod program;
mod ready;
mod session;

use crate::sys::{self, File, io, process};
use crate::wire::{Exec, FromGuest, Identity, MACHINE, Mount, Mounted, Payload, ToGuest, VERSION};
use crate::words::Wanted;
use crate::{boot, identity, mounts, payload, root};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use freezer::Freezer;
use port::Port;
use program::{Program, Work};
use ready::Ready;
use session::Session;

/// What powers systemd's machines off: SIGRTMIN+4.
const STOP_INIT: u8 = 38;
/// How often the port is looked at while the host's end is closed, should its signal be lost.
const LOOK_MS: u64 = 1000;

struct Agent<'a> {
    port: Port,
    signals: File,
    freezer: Freezer,
    wanted: &'a Wanted,
    begun: root::Begun,
    /// The root is mounted, and is everything.
    rooted: bool,
    /// What else is mounted is.
    placed: bool,
    sessions: Vec<Session>,
    /// Without entropy and clock, to know the same one again.
    identity: Option<Box<Identity>>,
    ready: Ready,
    frozen: bool,
}

/// Waits for an identity, mounts the root, starts the payload, and serves the host until the machine
/// powers off.
///
/// # Errors
/// When it cannot begin.
pub fn run(port: Port, wanted: &Wanted) -> Result<(), String> {
    let signals =
        process::signals().map_err(|error| format!("cannot wait for signals: {error}"))?;
    // What is the same for all machines of a kind is done before one is saved.
    crate::network::begin();
    payload::mount_usual()?;
    let mut ready = Ready::default();
    ready.listen().map_err(cannot_listen)?;
    let mut agent = Agent {
        port,
        signals,
        freezer: Freezer::new(),
        wanted,
        begun: root::begin(wanted),
        rooted: false,
        placed: false,
        sessions: Vec::new(),
        identity: None,
        ready,
        frozen: false,
    };
    // The host may have opened its end long before: no signal tells of that.
    loop {
        agent.turn();
        agent.wait();
    }
}

fn cannot_listen(error: sys::Errno) -> String {
    format!("cannot listen for readiness: {error}")
}

impl Agent<'_> {
    fn wait(&mut self) {
        self.port.flush();
        let mut all = alloc::vec![io::Poll::new(&self.signals, io::IN)];
        all.extend(self.port.poll());
        all.extend(self.ready.poll());
        self.sessions.iter().for_each(|session| session.poll(&self.port, &mut all));
        let look = (!self.port.connected()).then(|| io::ticks() + LOOK_MS);
        let due = self.sessions.iter().filter_map(Session::due).chain(self.ready.due()).chain(look);
        io::poll(&mut all, due.min().map(|due| due.saturating_sub(io::ticks())));
    }

    fn turn(&mut self) {
        let mut one = [0; 128];
        while io::read(&self.signals, &mut one).is_ok_and(|count| count > 0) {}
        while let Some((child, status)) = process::reap() {
            let of = self.sessions.iter_mut().find(|s| s.process == child && !s.has_ended());
            if let Some(session) = of {
                session.ended(status);
            }
        }
        if self.port.look() {
            self.end_connection();
        }
        for (session, message) in self.port.receive() {
            self.handle(session, message);
        }
        self.ready.turn(&mut self.port);
        let port = &mut self.port;
        let mut over = false;
        self.sessions.retain_mut(|session| {
            let done = session.pump(port);
            over |= done && session.id == MACHINE;
            !done
        });
        if over {
            self.power_off();
        }
    }

    fn power_off(&mut self) -> ! {
        self.port.finish();
        boot::end()
    }

    fn say(&mut self, message: &FromGuest) {
        self.port.send(MACHINE, message);
    }

    /// Sessions are a connection's; the payload is the machine's.
    fn end_connection(&mut self) {
        for session in &mut self.sessions {
            if session.id == MACHINE {
                session.start_over();
            } else {
                session.orphan = true;
                session.close();
            }
        }
    }

    fn handle(&mut self, number: u32, message: ToGuest) {
        match message {
            ToGuest::Hello(_) => {
                self.end_connection();
                let identified = self.identity.is_some();
                self.say(&FromGuest::Hello { version: VERSION, identified });
                self.ready.tell(&mut self.port);
            }
            ToGuest::Identity(identity) => {
                if let Err(why) = self.identify(*identity) {
                    self.say(&FromGuest::Failed(why));
                }
            }
            ToGuest::Stop => self.stop(),
            ToGuest::Quiesce => match self.quiesce() {
                Ok(()) => self.say(&FromGuest::Quiet),
                Err(why) => self.say(&FromGuest::Failed(format!("cannot stand still: {why}"))),
            },
            ToGuest::Mount(files) => match self.mount_root().and_then(|()| identity::begin()) {
                Ok(()) => {
                    files.iter().for_each(|path| sys::keep_in_memory(path));
                    self.say(&FromGuest::Mounted);
                }
                Err(why) => self.say(&FromGuest::Failed(why)),
            },
            ToGuest::Rehearse => {
                self.freezer.rehearse();
                self.say(&FromGuest::Rehearsed);
            }
            ToGuest::Exec(exec) => self.begin(number, |identity| {
                let payload = &identity.payload;
                let term = ("TERM".to_string(), "xterm-256color".to_string());
                let term = exec.terminal.is_some().then_some(&term);
                let variables =
                    term.into_iter().chain(&payload.environment).chain(&exec.environment);
                let Exec { arguments, user, directory, .. } = &*exec;
                Program::find(arguments, variables, user.as_deref(), directory.as_deref())
                    .map(|program| (Work::Run(program), exec.terminal))
            }),
            ToGuest::Pack(path) => self.begin(number, |_| Ok((Work::Pack(path), None))),
            ToGuest::Unpack(path) => self.begin(number, |_| Ok((Work::Unpack(path), None))),
            ToGuest::Ask(question) => self.begin(number, |_| Ok((Work::Ask(question), None))),
            ToGuest::Flush => self.begin(number, |_| Ok((Work::Flush, None))),
            ToGuest::Grow(serial, bytes) => self.begin(number, |identity| {
                let is_it = |mount: &&Mount| {
                    matches!(&mount.what, Mounted::Disk { serial: own, .. } if *own == serial)
                };
                let mount = identity.mounts.iter().find(is_it);
                let path = mount.map(|mount| mount.path.clone());
                let path = path.ok_or_else(|| format!("no disk {serial} is mounted"))?;
                Ok((Work::Grow(path, serial, bytes), None))
            }),
            of_session => {
                let mut own = self.sessions.iter_mut().filter(|session| !session.orphan);
                let Some(session) = own.find(|session| session.id == number) else { return };
                match of_session {
                    ToGuest::Input(bytes) => session.take(&bytes),
                    ToGuest::Resize(size) => session.resize(size),
                    ToGuest::Signal(signal) => session.signal(signal),
                    ToGuest::Window(count) => session.allow(count),
                    ToGuest::Close if number != MACHINE => session.close(),
                    _ => {}
                }
            }
        }
    }

    fn begin(
        &mut self,
        number: u32,
        work: impl FnOnce(&Identity) -> Result<(Work, Option<crate::wire::Size>), String>,
    ) {
        let begin = || {
            let Some(identity) = self.identity.as_ref().filter(|_| !self.frozen) else {
                return Err("this machine stands still, or has no identity yet".to_string());
            };
            if number == MACHINE || self.sessions.iter().any(|s| s.id == number && !s.orphan) {
                return Err(format!("session {number} is there already"));
            }
            let (work, terminal) = work(identity)?;
            let input = matches!(work, Work::Run(_) | Work::Unpack(_));
            let started = program::start(&work, terminal, input, &self.freezer)?;
            self.sessions.push(Session::new(number, started, terminal.is_some()));
            Ok(())
        };
        if let Err(why) = begin() {
            self.port.send(number, &FromGuest::Failed(why));
        }
    }

    fn identify(&mut self, mut new: Identity) -> Result<(), String> {
        let seeded = identity::seed(&core::mem::take(&mut new.entropy));
        seeded.map_err(|error| format!("cannot seed the random numbers: {error}"))?;
        identity::set_clock(core::mem::take(&mut new.clock))
            .map_err(|error| format!("cannot set the clock: {error}"))?;
        // After the clock, which is right only as long as nothing takes long.
        self.mount_root()?;
        if !self.placed {
            mounts::mount_all(&new.mounts)?;
            self.placed = true;
        }
        let new = Box::new(new);
        let was_another =
            self.identity.as_ref().is_some_and(|old| old.machine_id != new.machine_id);
        if self.identity.as_ref() != Some(&new) {
            identity::apply(&new, self.wanted.read_only, self.identity.is_some())?;
            self.identity = Some(new);
        }
        if self.frozen {
            self.freezer.thaw();
            self.frozen = false;
        }
        self.say(&FromGuest::Identified);
        if was_another && let Some(identity) = &self.identity {
            hooks::run(&self.freezer, &identity.payload);
        }
        if self.ready.has_started() {
            self.ready.tell(&mut self.port);
            return Ok(());
        }
        self.start()
    }

    fn mount_root(&mut self) -> Result<(), String> {
        if !self.rooted {
            root::mount(self.wanted, Some(&self.begun))?;
            payload::enter_root(&["dev", "proc", "sys", "run"])?;
            self.rooted = true;
        }
        Ok(())
    }

    fn start(&mut self) -> Result<(), String> {
        let Some(identity) = &self.identity else { return Ok(()) };
        let readiness = identity.readiness;
        let mut payload = identity.payload.clone();
        self.ready.listen().map_err(cannot_listen)?;
        payload.environment.push(("NOTIFY_SOCKET".into(), ready::SOCKET.into()));
        if payload.init {
            payload::unmount_groups();
            self.start_init(&payload);
        } else if !payload.command.is_empty() {
            let (user, directory) = (payload.user.as_deref(), payload.directory.as_deref());
            let environment = payload.environment.iter();
            let work = Work::Run(Program::find(&payload.command, environment, user, directory)?);
            let input = payload.input;
            let started = program::start(&work, payload.terminal, input, &self.freezer)?;
            self.sessions.push(Session::new(MACHINE, started, payload.terminal.is_some()));
        }
        self.ready.started(readiness, &mut self.port);
        Ok(())
    }

    /// Process 1 becomes the image's init; what goes on here is its child.
    fn start_init(&mut self, payload: &Payload) {
        let done = process::pipe().and_then(|(failure, report)| {
            if process::fork()?.is_some() {
                self.freezer.join_as_init();
                process::unmask();
                let why = payload::execute_init(self.wanted, payload);
                let _ = sys::write(&report, why.as_bytes());
                drop(report);
                // Without process 1 the kernel stops; the agent says why, and powers off.
                loop {
                    sys::sleep_ms(1000);
                }
            }
            drop(report);
            process::stand_aside();
            self.port.own();
            sys::read_all(&failure)
        });
        let why = match done {
            Ok(why) if why.is_empty() => return,
            Ok(why) => String::from_utf8_lossy(&why).into_owned(),
            Err(error) => format!("cannot make a process: {error}"),
        };
        sys::say(&format!("hc: this machine cannot start: {why}\n"));
        self.say(&FromGuest::Failed(why));
        self.power_off()
    }

    fn stop(&mut self) {
        if self.frozen {
            self.freezer.thaw();
            self.frozen = false;
        }
        let payload = self.identity.as_ref().map(|identity| &identity.payload);
        let (init, signal) = payload.map_or((false, 0), |p| (p.init, p.stop_signal));
        let or = |usual: u8| if signal == 0 { usual } else { signal };
        if init && self.ready.has_started() {
            let _ = process::kill(1, or(STOP_INIT));
        } else if let Some(payload) = self.sessions.iter().find(|session| session.id == MACHINE) {
            payload.signal(or(process::SIGTERM));
        } else {
            self.say(&FromGuest::Ended { end: crate::wire::End::Code(0), oom: false });
            self.power_off();
        }
    }

    /// Nothing is written out: what memory holds of the disk belongs to what is on it at this moment.
    fn quiesce(&mut self) -> Result<(), String> {
        if !self.frozen && self.ready.has_started() {
            self.freezer.freeze()?;
        }
        self.frozen = true;
        Ok(())
    }
}
