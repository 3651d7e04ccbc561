//! Whether what runs in a virtual machine works: its guest is asked over the channel.

use super::channel::Channel;
use crate::error::{Problem, Res};
use crate::supervise::Run;
use crate::supervise::health::{Answer, Ask};
use hc_guest::wire::{self, Exec, ToGuest};
use hc_spec::health::Question;
use std::time::Duration;

impl Ask for Channel {
    type Asked = u32;

    fn ask(&mut self, run: &Run<'_>, question: &Question, _timeout: Duration) -> Res<u32> {
        let message = match question {
            Question::Tcp(port) => ToGuest::Ask(wire::Question::Tcp(*port)),
            Question::Http(port, path) => ToGuest::Ask(wire::Question::Http(*port, path.clone())),
            Question::Command(arguments) => ToGuest::Exec(Box::new(Exec {
                arguments: arguments.clone(),
                user: Some(run.spec.user().to_owned()),
                directory: Some(run.spec.workdir().to_string_lossy().into_owned()),
                ..Exec::default()
            })),
        };
        self.begin(&message).map_err(|error| Problem::plain(error.to_string()))
    }

    fn answer(&mut self, asked: &mut u32) -> Option<Answer> {
        self.ended(*asked)
    }

    fn give_up(&mut self, asked: u32) {
        self.end(asked);
    }
}
