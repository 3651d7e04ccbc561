//! What the original's supervisor does about a fork while it does everything else.

use super::original::{Forking, Next};
use crate::error::{Problem, Res};
use crate::supervise::Run;
use crate::vm::channel::Told;
use crate::vm::{Machine, Service};
use hc_guest::wire::{MACHINE, ToGuest};

impl Machine {
    /// Whether somebody may come in for that now: forks are made one after the other, of a machine that
    /// knows who it is.
    pub(in crate::vm) fn takes(&self, service: Service) -> bool {
        let identified = || self.channel.as_ref().is_some_and(|channel| channel.is_identified());
        service != Service::Fork
            || (self.forking.is_none() && self.origin.is_some() && identified())
    }
}

impl Run<'_> {
    /// Begins a fork that was asked for, and goes on with one that was begun.
    pub(in crate::vm) fn attend_fork(&mut self, machine: &mut Machine) -> Res<()> {
        if machine.takes(Service::Fork) {
            let door = machine.doors.iter().find(|(service, _)| *service == Service::Fork);
            let asked = door.and_then(|(_, door)| door.next());
            if let (Some(socket), Some(origin)) = (asked, &machine.origin) {
                // Whoever asked may be gone again.
                machine.forking = Forking::begin(socket, origin).ok();
            }
        }
        let (Some(forking), Some(origin)) = (&mut machine.forking, &machine.origin) else {
            return Ok(());
        };
        let still = forking.is_still();
        match forking.turn(&mut machine.qmp, origin) {
            Next::Wait => Ok(()),
            Next::Over => {
                machine.forking = None;
                if still { go_on(machine) } else { Ok(()) }
            }
            Next::Rehearse => match &mut machine.channel {
                Some(channel) => channel.send(MACHINE, &ToGuest::Rehearse).map_err(crate::vm::said),
                None => Ok(()),
            },
            Next::Quiesce => match &mut machine.channel {
                Some(channel) => {
                    channel.hold(true);
                    channel.send(MACHINE, &ToGuest::Quiesce).map_err(crate::vm::said)
                }
                None => Ok(()),
            },
        }
    }

    /// Whether what the guest told was about a fork.
    pub(in crate::vm) fn told_of_fork(&mut self, machine: &mut Machine, told: &Told) -> Res<bool> {
        let (Some(forking), Some(origin)) = (&mut machine.forking, &machine.origin) else {
            return Ok(false);
        };
        if *told == Told::Rehearsed {
            forking.rehearsed();
            return Ok(true);
        }
        if !forking.is_still() {
            return Ok(false);
        }
        match told {
            Told::Quiet => {
                let switched = forking.switch(&mut machine.qmp, origin);
                if let Err(why) = switched {
                    self.log.say(&format!("hc: it could not be forked: {why}"));
                    forking.fail(&mut machine.qmp, why);
                    machine.forking = None;
                }
                go_on(machine)?;
            }
            Told::Identified => {
                if let Some(pause) = forking.end(&mut machine.qmp) {
                    let ms = pause.div_ceil(1000);
                    self.log.say(&format!("hc: it was forked, and stood still for {ms} ms"));
                    machine.forking = None;
                }
            }
            Told::Failed(why) => {
                forking.fail(&mut machine.qmp, why.clone());
                machine.forking = None;
                go_on(machine)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Gives a fork up, where the machine is to stop.
    pub(in crate::vm) fn no_fork(&mut self, machine: &mut Machine) -> Res<()> {
        let Some(mut forking) = machine.forking.take() else { return Ok(()) };
        let still = forking.is_still();
        forking.fail(&mut machine.qmp, "the machine is stopped".into());
        if still { go_on(machine) } else { Ok(()) }
    }
}

/// Has a guest go on that stands still: as who it was.
fn go_on(machine: &mut Machine) -> Result<(), Problem> {
    if let Some(channel) = &mut machine.channel {
        channel.hold(false);
    }
    machine.tell()
}
