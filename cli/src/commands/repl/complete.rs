//! What the tab key offers: commands, variables, attributes of the sets among them.

use super::session::{COMMANDS, Session};
use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Result};
use std::collections::BTreeMap;

/// Knows names only: nothing is evaluated while somebody types.
#[derive(Default)]
pub struct Helper {
    names: Vec<String>,
    attributes: BTreeMap<String, Vec<String>>,
}

impl Helper {
    /// The names as they are now.
    pub fn update(&mut self, session: &Session<'_, '_>) {
        (self.names, self.attributes) = session.names();
    }

    /// Where the word at the end of `line` begins, and what it could become.
    fn candidates(&self, line: &str) -> (usize, Vec<String>) {
        if line.starts_with(':') && !line.contains(' ') {
            let fitting =
                COMMANDS.iter().map(|(names, _)| names.split(',').next().unwrap_or(names));
            let fitting = fitting.filter(|name| name.starts_with(line));
            return (0, fitting.map(|name| name.trim().to_owned()).collect());
        }
        let start = line.rfind(|c: char| " \n\t(){}[];=".contains(c)).map_or(0, |at| at + 1);
        let word = &line[start..];
        let (from, names, prefix) = match word.rsplit_once('.') {
            Some((set, prefix)) => (start + set.len() + 1, self.attributes.get(set), prefix),
            None => (start, Some(&self.names), word),
        };
        let fitting = names.into_iter().flatten().filter(|name| name.starts_with(prefix));
        (from, fitting.cloned().collect())
    }
}

impl Completer for Helper {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> Result<(usize, Vec<String>)> {
        Ok(self.candidates(&line[..pos]))
    }
}

impl Hinter for Helper {
    type Hint = String;
}
impl Highlighter for Helper {}
impl Validator for Helper {}
impl rustyline::Helper for Helper {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_attributes() {
        let helper = Helper {
            names: vec!["map".into(), "mine".into(), "x".into()],
            attributes: [("mine".to_owned(), vec!["one".to_owned(), "other".to_owned()])].into(),
        };
        assert_eq!(helper.candidates("f (m"), (3, vec!["map".into(), "mine".into()]));
        assert_eq!(helper.candidates("mine.ot"), (5, vec!["other".into()]));
        assert_eq!(helper.candidates(":qu"), (0, vec![]));
        assert_eq!(helper.candidates(":q"), (0, vec![":q".into()]));
    }
}
