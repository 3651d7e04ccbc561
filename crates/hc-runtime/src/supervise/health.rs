//! Asking a machine whether it is ready, and whether it still works.

use super::Run;
use crate::error::Res;
use crate::status::Phase;
use hc_spec::health::Question;
use std::time::{Duration, Instant};

/// How a machine answered: well, or why not.
pub(crate) type Answer = Result<(), String>;

/// A way to ask a machine that keeps nobody waiting.
pub(crate) trait Ask {
    /// A question that was asked.
    type Asked;

    /// Asks; an answer later than `timeout` is none.
    fn ask(&mut self, run: &Run<'_>, question: &Question, timeout: Duration) -> Res<Self::Asked>;

    /// The answer, if it is there.
    fn answer(&mut self, asked: &mut Self::Asked) -> Option<Answer>;

    /// The answer is too late.
    fn give_up(&mut self, asked: Self::Asked);
}

/// A question that is asked again and again.
struct Asker<A> {
    question: Question,
    /// Longest time to the answer.
    timeout: Duration,
    /// Time between an answer and the next question, which may grow up to a limit.
    pause: Duration,
    longest_pause: Duration,
    due: Instant,
    /// What was asked, and when an answer is late.
    asked: Option<(A, Instant)>,
}

impl<A> Asker<A> {
    /// Asked at once, then less and less often.
    fn eager(question: Question) -> Self {
        Self {
            question,
            timeout: Duration::from_secs(5),
            pause: Duration::from_millis(5),
            longest_pause: Duration::from_millis(500),
            due: Instant::now(),
            asked: None,
        }
    }

    /// Asked every `interval`, first after one.
    fn regular(question: Question, interval: Duration, timeout: Duration) -> Self {
        let due = Instant::now() + interval;
        Self { question, timeout, pause: interval, longest_pause: interval, due, asked: None }
    }

    /// When it wants to be looked at, if nothing happens before.
    fn next(&self) -> Instant {
        self.asked.as_ref().map_or(self.due, |(_, deadline)| *deadline)
    }

    /// Takes an answer that is there, or asks if it is time to.
    fn attend(&mut self, run: &Run<'_>, whom: &mut impl Ask<Asked = A>) -> Option<Answer> {
        let Some((mut asked, deadline)) = self.asked.take() else {
            if self.due > Instant::now() {
                return None;
            }
            return match whom.ask(run, &self.question, self.timeout) {
                Ok(asked) => {
                    self.asked = Some((asked, Instant::now() + self.timeout));
                    None
                }
                Err(problem) => self.answered(Err(problem.to_string())),
            };
        };
        if let Some(answer) = whom.answer(&mut asked) {
            return self.answered(answer);
        }
        if deadline > Instant::now() {
            self.asked = Some((asked, deadline));
            return None;
        }
        whom.give_up(asked);
        self.answered(Err(format!("no answer within {} s", self.timeout.as_secs())))
    }

    fn answered(&mut self, answer: Answer) -> Option<Answer> {
        self.due = Instant::now() + self.pause;
        self.pause = (self.pause * 3 / 2).min(self.longest_pause);
        let what = match &self.question {
            Question::Command(argv) => argv.join(" "),
            Question::Tcp(port) => format!("port {port}"),
            Question::Http(port, path) => format!("http://localhost:{port}{path}"),
        };
        Some(answer.map_err(|why| format!("{what}: {why}")))
    }
}

/// What is asked of a machine while it runs.
pub(crate) struct Checks<A> {
    /// Until it is ready.
    ready: Option<Asker<A>>,
    /// From then on.
    health: Option<Asker<A>>,
    /// Bad answers in a row.
    bad: u32,
}

impl<A> Default for Checks<A> {
    fn default() -> Self {
        Self { ready: None, health: None, bad: 0 }
    }
}

impl<A> Checks<A> {
    fn all(&self) -> impl Iterator<Item = &Asker<A>> {
        [&self.ready, &self.health].into_iter().flatten()
    }

    /// When there is something to do, if nothing happens before.
    pub fn next(&self) -> Option<Instant> {
        self.all().map(Asker::next).min()
    }

    /// What was asked and is not answered yet.
    pub fn asked(&self) -> impl Iterator<Item = &A> {
        self.all().filter_map(|asker| asker.asked.as_ref().map(|(asked, _)| asked))
    }
}

impl Run<'_> {
    /// Asks what is to be asked now, and draws the conclusions from the answers. Says why the machine
    /// is to be ended, when it is.
    pub(crate) fn check<W: Ask>(
        &mut self,
        checks: &mut Checks<W::Asked>,
        whom: &mut W,
    ) -> Res<Option<String>> {
        if self.status.phase == Phase::Running && checks.ready.is_none() {
            checks.ready = self.spec.ready.question().map(Asker::eager);
        }
        let answer = checks.ready.as_mut().and_then(|asker| asker.attend(self, whom));
        if answer.is_some_and(|answer| answer.is_ok()) {
            self.come_to(Phase::Ready)?;
        }
        if self.status.phase != Phase::Ready {
            return Ok(None);
        }
        checks.ready = None;
        let Some(health) = &self.spec.health else { return Ok(None) };
        if checks.health.is_none() {
            let seconds = |seconds: u32| Duration::from_secs(seconds.into());
            let (interval, timeout) = (seconds(health.interval_sec), seconds(health.timeout_sec));
            checks.health = health.question().ok().map(|q| Asker::regular(q, interval, timeout));
        }
        match checks.health.as_mut().and_then(|asker| asker.attend(self, whom)) {
            None => Ok(None),
            Some(Ok(())) => {
                checks.bad = 0;
                if self.status.unwell.take().is_some() {
                    self.log.say("hc: it works again");
                    self.status.write(&self.places)?;
                }
                Ok(None)
            }
            Some(Err(why)) => {
                checks.bad += 1;
                let text = format!("{why} ({} of {})", checks.bad, health.failures);
                self.log.say(&format!("hc: it does not work: {text}"));
                self.status.unwell = Some(text);
                self.status.write(&self.places)?;
                Ok((checks.bad >= health.failures).then_some(why))
            }
        }
    }
}
