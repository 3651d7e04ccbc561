//! Answers to questions that are asked again and again, byte for byte the same but for their number: reading
//! one and writing its answer takes longer than anything else about it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long an answer is given again: no longer than anybody may keep it.
const KEPT: Duration = Duration::from_secs(1);
/// Answers that are kept. When there are more, all are forgotten: whoever asks nonsense gains nothing by it.
const MOST: usize = 2048;
/// A longer question or answer is not kept.
const LONGEST: usize = 512;

/// What was answered lately, from names that have not changed since.
#[derive(Default)]
pub(super) struct Repeated {
    /// Which names these are from.
    version: u64,
    answers: HashMap<Vec<u8>, (Vec<u8>, Instant)>,
    /// Who asks what, kept for its memory.
    key: Vec<u8>,
}

impl Repeated {
    /// The answer that was given to this question of this source, in `answer`. It is looked for among those
    /// from names of that version.
    pub fn find(
        &mut self,
        version: u64,
        source: IpAddr,
        question: &[u8],
        now: Instant,
        answer: &mut Vec<u8>,
    ) -> bool {
        if self.version != version {
            self.version = version;
            self.answers.clear();
        }
        self.key.clear();
        let Some((number, rest)) = question.split_at_checked(2) else { return false };
        match source {
            IpAddr::V4(source) => self.key.extend(source.octets()),
            IpAddr::V6(source) => self.key.extend(source.octets()),
        }
        self.key.extend(rest);
        let Some((kept, since)) = self.answers.get(&self.key) else { return false };
        if now.saturating_duration_since(*since) >= KEPT {
            return false;
        }
        answer.clear();
        answer.extend(number);
        answer.extend(&kept[2..]);
        true
    }

    /// Keeps the answer to the question that was looked for last.
    pub fn keep(&mut self, answer: &[u8], now: Instant) {
        if self.key.len().max(answer.len()) > LONGEST || answer.len() < 2 {
            return;
        }
        if self.answers.len() >= MOST {
            self.answers.clear();
        }
        self.answers.insert(self.key.clone(), (answer.to_vec(), now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_given_again_to_whom_it_was_given_for_as_long_as_it_may_be_kept() {
        let (me, other) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let (mut all, began, mut out) = (Repeated::default(), Instant::now(), Vec::new());
        assert!(!all.find(1, me, b"\x00\x01?", began, &mut out));
        all.keep(b"\x00\x01!", began);
        assert!(all.find(1, me, b"\x07\x08?", began, &mut out));
        assert_eq!(out, b"\x07\x08!", "with the number of the question");
        let just = began + KEPT - Duration::from_nanos(1);
        assert!(all.find(1, me, b"\x00\x01?", just, &mut out));
        for (version, source, question, now) in [
            (1, me, &b"\x00\x01?"[..], began + KEPT),
            (1, other, b"\x00\x01?", began),
            (1, me, b"\x00\x01??", began),
            (1, me, b"\x00", began),
            (2, me, b"\x00\x01?", began),
            (1, me, b"\x00\x01?", began),
        ] {
            assert!(!all.find(version, source, question, now, &mut out), "{question:?}");
        }
    }

    #[test]
    fn nonsense_takes_no_more_than_so_much_memory() {
        let (mut all, now, mut out) = (Repeated::default(), Instant::now(), Vec::new());
        for number in 0..3 * MOST as u64 {
            let question = [&[0, 0], &number.to_be_bytes()[..]].concat();
            assert!(!all.find(1, [0; 16].into(), &question, now, &mut out));
            all.keep(&question, now);
            assert!(all.answers.len() <= MOST);
        }
        assert!(!all.find(1, [0; 16].into(), &[0; 2000], now, &mut out));
        let before = all.answers.len();
        all.keep(b"\x00\x01!", now);
        assert_eq!(all.answers.len(), before, "what is too long is not kept");
    }
}
