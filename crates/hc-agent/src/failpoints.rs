//! Places where an activation is made to fail on purpose, so that tests can prove what happens.

use std::str::FromStr;

/// On which side of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Nothing of it was done yet.
    Before,
    /// All of it was done.
    After,
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The step reports an error.
    Error,
    /// The agent is killed as by `kill -9`.
    Kill,
    /// The activation goes no further until the agent ends.
    Pause,
}

/// One place: `step:before|after:error|kill|pause`. The undo of a step is `undo-<step>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failpoint {
    /// Name of the step, from [`crate::STEPS`], perhaps with `undo-` in front.
    pub step: String,
    /// On which side of it.
    pub when: When,
    /// What happens.
    pub action: Action,
}

/// All places of one agent; as text, separated by commas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failpoints(pub Vec<Failpoint>);

/// Text that names no failpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no failpoint: write <step>:before|after:error|kill|pause")]
pub struct ParseError(String);

/// The error a failpoint makes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failpoint {0}")]
pub struct Injected(pub String);

impl Failpoints {
    /// Passes the place, or fails there.
    pub(crate) async fn pass(&self, step: &str, when: When) -> Result<(), Injected> {
        let Some(point) = self.0.iter().find(|p| p.step == step && p.when == when) else {
            return Ok(());
        };
        match point.action {
            Action::Error => Err(Injected(step.to_owned())),
            Action::Kill => {
                let _ = rustix::process::kill_process(
                    rustix::process::getpid(),
                    rustix::process::Signal::KILL,
                );
                std::future::pending().await
            }
            Action::Pause => std::future::pending().await,
        }
    }
}

impl FromStr for Failpoints {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let one = |text: &str| {
            let mut parts = text.split(':');
            let point = (|| {
                let step = parts.next().filter(|s| !s.is_empty())?.to_owned();
                let when = match parts.next()? {
                    "before" => When::Before,
                    "after" => When::After,
                    _ => return None,
                };
                let action = match parts.next()? {
                    "error" => Action::Error,
                    "kill" => Action::Kill,
                    "pause" => Action::Pause,
                    _ => return None,
                };
                parts.next().is_none().then_some(Failpoint { step, when, action })
            })();
            point.ok_or_else(|| ParseError(text.to_owned()))
        };
        text.split(',').filter(|t| !t.is_empty()).map(one).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_names_places() {
        let points: Failpoints = "switch:before:kill,undo-ready:after:error".parse().unwrap();
        assert_eq!(points.0.len(), 2);
        assert_eq!(points.0[1].step, "undo-ready");
        assert_eq!("".parse::<Failpoints>().unwrap(), Failpoints::default());
        for bad in ["x", "x:y:kill", "x:before:die", ":before:kill", "x:after:kill:more"] {
            assert!(bad.parse::<Failpoints>().is_err(), "{bad}");
        }
    }
}
