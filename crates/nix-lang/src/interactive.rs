//! What a person at a prompt asks of an evaluator.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix_syntax::{Origin, Symbol};

use crate::Evaluator;
use crate::error::Result;
use crate::paths::canonical;
use crate::source::{Location, NO_POS, locate};
use crate::value::{Env, ThunkState, Value};

impl<'a> Evaluator<'a> {
    /// As [`Evaluator::eval_str`], with variables beyond the global ones.
    ///
    /// # Errors
    ///
    /// As [`Evaluator::eval_str`].
    pub fn eval_in(
        &self,
        text: &str,
        base: impl AsRef<Path>,
        scope: &[(String, Value<'a>)],
    ) -> Result<Value<'a>> {
        let base = canonical(base.as_ref().as_os_str().as_bytes());
        let mut variables: Vec<(Symbol, Value<'a>)> = scope
            .iter()
            .map(|(name, value)| (self.symbols.intern(name.as_bytes()), *value))
            .collect();
        variables.sort_by_key(|(name, _)| *name);
        let names: Vec<Symbol> = variables.iter().map(|(name, _)| *name).collect();
        let slots = variables.iter().map(|(_, value)| self.slot(*value));
        let env = Env::new(self.arena, Some(self.root_env), slots);
        let origin = Origin::Text("«string»".into());
        self.eval_text(origin, text.as_bytes().to_vec(), &base, Some(&names), env)
            .map_err(|error| self.finish(error))
    }

    /// The names every expression sees, but for those that begin with two underscores.
    #[must_use]
    pub fn global_names(&self) -> Vec<String> {
        let names = self.globals.names.symbols().map(|name| self.name(name));
        names.filter(|name| !name.starts_with("__")).collect()
    }

    /// The names of the attributes of a set, as far as that is known without evaluating anything.
    #[must_use]
    pub fn known_attributes(&self, value: Value<'a>) -> Option<Vec<String>> {
        let value = match value {
            Value::Thunk(thunk) => match thunk.get() {
                ThunkState::Done(_, value) => value,
                _ => return None,
            },
            value => value,
        };
        let Value::Attrs(attrs) = value else { return None };
        Some(self.sorted(attrs).into_iter().map(|attr| self.name(attr.name)).collect())
    }

    /// What a value is, with its article.
    ///
    /// # Errors
    ///
    /// When its evaluation fails.
    pub fn describe(&self, value: Value<'a>) -> Result<&'static str> {
        self.force(value, NO_POS).map(|value| value.described()).map_err(|error| self.finish(error))
    }

    /// Where a function is written.
    #[must_use]
    pub fn place_of(&self, value: Value<'a>) -> Option<Location> {
        let Value::Lambda(closure) = value else { return None };
        locate(&self.sources, closure.lambda.head)
    }

    /// Have files read again when they are next imported.
    pub fn forget_files(&self) {
        self.imports.borrow_mut().clear();
    }

    /// Whether errors show every step of their trail.
    #[must_use]
    pub fn shows_trace(&self) -> bool {
        self.whole_trace.get()
    }

    /// Have errors show every step of their trail from now on, or not.
    pub fn show_trace(&self, on: bool) {
        self.whole_trace.set(on);
    }

    /// What is written about a function: of its own, the `/** comment */` in front of it; of a
    /// builtin, the names of its arguments and a paragraph.
    #[must_use]
    pub fn documentation(&self, value: Value<'a>) -> Option<String> {
        match value {
            Value::PrimOp(op) => {
                let (arguments, text) = crate::builtins::docs::of(op.name)?;
                Some(format!("builtins.{} {arguments}\n\n{text}", op.name))
            }
            Value::PrimOpApp(app) => self.documentation(Value::PrimOp(app.op)),
            Value::Lambda(closure) => {
                let head = closure.lambda.head;
                let part = self.sources.part(head)?;
                let text = self.sources.get(part.file).text;
                let before = text.get(..part.start as usize)?;
                let comment = comment_before(&String::from_utf8_lossy(before))?;
                let name = self.lambda_name(closure.lambda);
                let place = locate(&self.sources, head)
                    .map(|at| format!(", {}:{}:{}", at.file, at.line, at.column))
                    .unwrap_or_default();
                Some(format!("{name}{place}\n\n{comment}"))
            }
            _ => None,
        }
    }
}

/// The text of the `/** comment */` that `before` ends in, an attribute name and `=` left aside.
fn comment_before(before: &str) -> Option<String> {
    let before = before.trim_end().trim_end_matches('(').trim_end();
    let before = before.strip_suffix('=').map_or(before, |rest| {
        let part = |c: char| c.is_ascii_alphanumeric() || "_'-.\"".contains(c);
        rest.trim_end().trim_end_matches(part).trim_end()
    });
    let inner = before.strip_suffix("*/")?;
    let start = inner.rfind("/*")?;
    let inner = inner[start..].strip_prefix("/**")?;
    let lines: Vec<&str> = inner.lines().collect();
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let least = lines.iter().skip(1).filter(|line| !line.trim().is_empty()).map(indent).min();
    let cut = |(index, line): (usize, &&str)| match index {
        0 => line.trim().to_owned(),
        _ => line.get(least.unwrap_or(0)..).unwrap_or_default().trim_end().to_owned(),
    };
    let text: Vec<String> = lines.iter().enumerate().map(cut).collect();
    Some(text.join("\n").trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arena, ComputeIo, Settings};

    #[test]
    fn comments_in_front_of_functions() {
        assert_eq!(
            comment_before("{ /** Doubles.\n      Twice. */ f = ").unwrap(),
            "Doubles.\nTwice."
        );
        assert_eq!(comment_before("/** x */ "), Some("x".to_owned()));
        assert_eq!(comment_before("/* x */ f = "), None);
        assert_eq!(comment_before("f = "), None);
    }

    #[test]
    fn builtins_are_documented() {
        let arena = Arena::new();
        let nix = Evaluator::new(&arena, ComputeIo::new(), Settings::default());
        let part = nix.eval_str("builtins.genList (x: x)", "/").unwrap();
        let text = nix.documentation(part).unwrap();
        assert!(
            text.starts_with("builtins.genList generator length\n\n`[ (generator 0)"),
            "{text}"
        );
    }

    #[test]
    fn variables_of_a_prompt() {
        let arena = Arena::new();
        let nix = Evaluator::new(&arena, ComputeIo::new(), Settings::default());
        let one = nix.eval_str("1", "/").unwrap();
        let two = nix.eval_str("{ a = 2; }", "/").unwrap();
        let scope = [("y".to_owned(), two), ("x".to_owned(), one)];
        let sum = nix.eval_in("x + y.a", "/", &scope).unwrap();
        assert_eq!(nix.print(sum).unwrap(), "3");
        assert!(nix.eval_in("z", "/", &scope).is_err());
        assert_eq!(nix.known_attributes(two), Some(vec!["a".to_owned()]));
    }
}
