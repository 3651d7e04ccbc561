//! How it is found out whether a machine works.

use serde::{Deserialize, Serialize};

/// Asked again and again once a machine is ready: one of `command` and `port`; with `path`, the port
/// is asked by HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Health {
    /// Program and arguments run in the machine as its own user; well when it ends with 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Port on the machine's own loopback (`::1`, then `127.0.0.1`); well when it takes a
    /// connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Path asked for by HTTP; well when the answer's status is 200 to 399.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Seconds between two questions, and before the first.
    #[serde(default = "ten")]
    pub interval_sec: u32,
    /// Seconds after which no answer is a bad one.
    #[serde(default = "five")]
    pub timeout_sec: u32,
    /// How many bad answers in a row end the machine.
    #[serde(default = "three")]
    pub failures: u32,
}

fn ten() -> u32 {
    10
}
fn five() -> u32 {
    5
}
fn three() -> u32 {
    3
}

/// One way to ask whether a machine works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Run this in it.
    Command(Vec<String>),
    /// Connect to this port.
    Tcp(u16),
    /// Get this path from this port.
    Http(u16, String),
}

impl Question {
    /// From the fields that name one.
    ///
    /// # Errors
    /// When they name none or two, or a path that is none.
    pub fn of(command: &[String], port: Option<u16>, path: Option<&str>) -> Result<Self, String> {
        match (command, port, path) {
            ([], Some(port), None) => Ok(Self::Tcp(port)),
            ([], Some(port), Some(path))
                if path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic()) =>
            {
                Ok(Self::Http(port, path.into()))
            }
            ([], Some(_), Some(path)) => {
                Err(format!("path '{path}' has to begin with / and hold no spaces"))
            }
            ([_, ..], None, None) => Ok(Self::Command(command.to_vec())),
            _ => Err("needs either a command, or a port and maybe a path".into()),
        }
    }
}

impl Health {
    /// What is asked.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn question(&self) -> Result<Question, String> {
        if self.interval_sec == 0 || self.timeout_sec == 0 || self.failures == 0 {
            return Err("intervalSec, timeoutSec and failures are at least 1".into());
        }
        Question::of(&self.command, self.port, self.path.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_question_and_no_other() {
        let command = &["true".to_owned()][..];
        assert_eq!(Question::of(command, None, None), Ok(Question::Command(command.into())));
        assert_eq!(Question::of(&[], Some(80), None), Ok(Question::Tcp(80)));
        let http = Ok(Question::Http(80, "/up?x=1".into()));
        assert_eq!(Question::of(&[], Some(80), Some("/up?x=1")), http);
        for (command, port, path) in [
            (command, Some(80), None),
            (command, None, Some("/")),
            (&[][..], None, None),
            (&[], None, Some("/")),
            (&[], Some(80), Some("up")),
            (&[], Some(80), Some("/a b")),
            (&[], Some(80), Some("/a\r\nHost: x")),
        ] {
            assert!(Question::of(command, port, path).is_err(), "{command:?} {port:?} {path:?}");
        }
    }
}
