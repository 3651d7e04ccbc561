//! What a command line selects from a value: attribute paths, functions called with the arguments
//! given there, derivations.

use std::collections::BTreeSet;

use crate::Evaluator;
use crate::coerce::Coercion;
use crate::error::{Error, ErrorKind, Result};
use crate::source::{NO_POS, Place};
use crate::suggest;
use crate::sym;
use crate::value::{Attrs, Value};

/// A derivation found in a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Package {
    /// The store path of the derivation.
    pub drv_path: String,
    /// The output that was asked for, mostly `out`.
    pub output: String,
    /// Where in the value it is, such as `pkgs.hello`.
    pub attr_path: String,
}

/// The names of an attribute path such as `a."b.c".0`.
///
/// # Errors
///
/// In words, when a quote is not closed.
pub fn parse_attr_path(text: &str) -> std::result::Result<Vec<String>, String> {
    let (mut names, mut name) = (Vec::new(), String::new());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '.' => names.push(std::mem::take(&mut name)),
            '"' => loop {
                match chars.next() {
                    Some('"') => break,
                    Some(char) => name.push(char),
                    None => {
                        return Err(format!("missing closing quote in selection path '{text}'"));
                    }
                }
            },
            char => name.push(char),
        }
    }
    if !name.is_empty() {
        names.push(name);
    }
    Ok(names)
}

/// Whether looking for derivations goes through an attribute of this name.
fn is_component(name: &[u8]) -> bool {
    let first = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    name.first().is_some_and(first)
        && name.iter().all(|byte| first(byte) || byte.is_ascii_digit() || b"-+".contains(byte))
}

impl<'a> Evaluator<'a> {
    /// The value, called with `arguments` as long as it is a function that takes a set.
    ///
    /// # Errors
    ///
    /// When the function wants an argument that is not there, or the call fails.
    pub fn auto_call(
        &self,
        value: Value<'a>,
        arguments: &[(String, Value<'a>)],
    ) -> Result<Value<'a>> {
        self.call_with(value, arguments).map_err(|error| self.finish(error))
    }

    fn call_with(&self, value: Value<'a>, arguments: &[(String, Value<'a>)]) -> Result<Value<'a>> {
        self.check_stack(NO_POS)?;
        let value = self.force(value, NO_POS)?;
        let closure = match value {
            Value::Attrs(attrs) => match attrs.value(sym::FUNCTOR) {
                Some(functor) => {
                    let called = self.call(functor, &[value], NO_POS)?;
                    return self.call_with(called, arguments);
                }
                None => return Ok(value),
            },
            Value::Lambda(closure) => closure,
            value => return Ok(value),
        };
        let Some(formals) = closure.lambda.formals else { return Ok(value) };
        let mut entries = Vec::new();
        let mut pass = |name, value| entries.push(self.attr(name, Place::NONE, value));
        if formals.ellipsis {
            for (name, value) in arguments {
                pass(self.symbols.intern(name.as_bytes()), *value);
            }
        } else {
            for formal in formals.list {
                let wanted = self.name(formal.name);
                match arguments.iter().find(|(name, _)| *name == wanted) {
                    Some((_, value)) => pass(formal.name, *value),
                    None if formal.default.is_some() => {}
                    None => {
                        let message = format!(
                            "cannot evaluate a function that has an argument without a value ('{wanted}')"
                        );
                        return Err(Error::ty(message, closure.lambda.head).hint(format!(
                            "give it on the command line: --arg {wanted} NIX or --argstr {wanted} TEXT"
                        )));
                    }
                }
            }
        }
        self.call(value, &[self.attrs_from(entries)], NO_POS)
    }

    /// The value at an attribute path as a command line has it: names in quotes, list indices,
    /// functions on the way called with `arguments`. The value itself is evaluated, not called.
    ///
    /// # Errors
    ///
    /// When something on the way is missing (with a suggestion) or fails.
    pub fn select_attr_path(
        &self,
        value: Value<'a>,
        path: &str,
        arguments: &[(String, Value<'a>)],
    ) -> Result<Value<'a>> {
        let select = || -> Result<Value<'a>> {
            let names = parse_attr_path(path)
                .map_err(|message| Error::new(ErrorKind::Syntax, message, NO_POS))?;
            let mut value = value;
            for name in &names {
                let called = self.call_with(value, arguments)?;
                value = self.step(called, name, path)?;
            }
            self.force(value, NO_POS).map_err(|error| match names.is_empty() {
                true => error,
                false => error.frame(NO_POS, format!("while evaluating the attribute '{path}'")),
            })
        };
        select().map_err(|error| self.finish(error))
    }

    /// The value at a path, nothing called on the way; `None` when something on the way is missing.
    ///
    /// # Errors
    ///
    /// When evaluating something on the way fails.
    pub fn find_path<S: AsRef<str>>(
        &self,
        value: Value<'a>,
        path: &[S],
    ) -> Result<Option<Value<'a>>> {
        let find = || {
            let mut value = value;
            for name in path {
                let name = name.as_ref();
                let found = match self.force(value, NO_POS)? {
                    Value::Attrs(attrs) => {
                        self.symbols.lookup(name.as_bytes()).and_then(|name| attrs.value(name))
                    }
                    Value::List(list) => name
                        .parse::<usize>()
                        .ok()
                        .and_then(|at| list.slots().get(at).map(|item| item.get())),
                    _ => None,
                };
                let Some(found) = found else { return Ok(None) };
                value = found;
            }
            Ok(Some(value))
        };
        find().map_err(|error: Error| self.finish(error))
    }

    /// What the missing name on a path could have meant, as a sentence.
    #[must_use]
    pub fn near_path<S: AsRef<str>>(&self, value: Value<'a>, path: &[S]) -> Option<String> {
        let mut value = value;
        for name in path {
            let name = name.as_ref();
            let Value::Attrs(attrs) = self.force(value, NO_POS).ok()? else { return None };
            match self.symbols.lookup(name.as_bytes()).and_then(|name| attrs.value(name)) {
                Some(found) => value = found,
                None => {
                    let names: Vec<String> =
                        self.entries(attrs).iter().map(|attr| self.name(attr.name)).collect();
                    let near = suggest::near(name, names.iter().map(String::as_str));
                    return (!near.is_empty()).then(|| suggest::did_you_mean(&near));
                }
            }
        }
        None
    }

    fn step(&self, value: Value<'a>, name: &str, path: &str) -> Result<Value<'a>> {
        let wrong = |wanted: &str| {
            let message = format!(
                "the expression selected by the selection path '{path}' should be {wanted} but is {}",
                value.described()
            );
            Error::ty(message, NO_POS)
        };
        if let Ok(index) = name.parse::<u32>() {
            let Value::List(list) = value else { return Err(wrong("a list")) };
            return list.slots().get(index as usize).map(|item| item.get()).ok_or_else(|| {
                let message =
                    format!("list index {index} in selection path '{path}' is out of range");
                Error::new(ErrorKind::MissingAttr, message, NO_POS)
            });
        }
        let Value::Attrs(attrs) = value else { return Err(wrong("a set")) };
        if name.is_empty() {
            let message = format!("empty attribute name in selection path '{path}'");
            return Err(Error::eval(message, NO_POS));
        }
        let found = self.symbols.lookup(name.as_bytes()).and_then(|symbol| attrs.value(symbol));
        found.ok_or_else(|| {
            let message = format!("attribute '{name}' in selection path '{path}' not found");
            let error = Error::new(ErrorKind::MissingAttr, message, NO_POS);
            let names: Vec<String> =
                self.entries(attrs).iter().map(|attr| self.name(attr.name)).collect();
            let near = suggest::near(name, names.iter().map(String::as_str));
            if near.is_empty() { error } else { error.hint(suggest::did_you_mean(&near)) }
        })
    }

    /// Every derivation in a value, in the order of names: the value itself, the attributes of a
    /// set (deeper only where `recurseForDerivations` says so), the elements of a list. Functions
    /// are called with `arguments`.
    ///
    /// # Errors
    ///
    /// When there is something else in the value, or evaluation fails.
    pub fn packages(
        &self,
        value: Value<'a>,
        arguments: &[(String, Value<'a>)],
    ) -> Result<Vec<Package>> {
        let mut search = Search { nix: self, arguments, seen: BTreeSet::new(), found: Vec::new() };
        search.all(value, "").map_err(|error| self.finish(error))?;
        Ok(search.found)
    }

    /// The derivation that a value is; `None` when it is none.
    ///
    /// # Errors
    ///
    /// When evaluation fails.
    pub fn package(&self, value: Value<'a>) -> Result<Option<Package>> {
        let mut search =
            Search { nix: self, arguments: &[], seen: BTreeSet::new(), found: Vec::new() };
        search.one(value, "").map_err(|error| self.finish(error))?;
        Ok(search.found.pop())
    }
}

struct Search<'s, 'a> {
    nix: &'s Evaluator<'a>,
    arguments: &'s [(String, Value<'a>)],
    seen: BTreeSet<usize>,
    found: Vec<Package>,
}

impl<'a> Search<'_, 'a> {
    /// Takes the value if it is a derivation; whether to look inside of it otherwise.
    fn one(&mut self, value: Value<'a>, path: &str) -> Result<bool> {
        let nix = self.nix;
        let Value::Attrs(attrs) = nix.force(value, NO_POS)? else { return Ok(true) };
        if !nix.is_derivation(attrs)? {
            return Ok(true);
        }
        if !self.seen.insert(self.nix.entries(attrs).as_ptr() as usize) {
            return Ok(false);
        }
        let Some(name) = attrs.value(sym::NAME) else {
            return Err(Error::ty("derivation name missing", NO_POS));
        };
        self.plain(name, "while evaluating the 'name' attribute of a derivation")?;
        let drv_path = self.drv_path(attrs)?;
        let output = match attrs.value(nix.symbols.intern(b"outputName")) {
            Some(output) => {
                self.plain(output, "while evaluating the output name of a derivation")?
            }
            None => String::new(),
        };
        if output.is_empty() {
            let message = format!("derivation '{drv_path}' lacks an 'outputName' attribute");
            return Err(Error::eval(message, NO_POS));
        }
        self.found.push(Package { drv_path, output, attr_path: path.to_owned() });
        Ok(false)
    }

    /// A string that depends on nothing.
    fn plain(&self, value: Value<'a>, during: &'static str) -> Result<String> {
        let nix = self.nix;
        let string =
            nix.force_string(value, NO_POS).map_err(|error| error.frame(NO_POS, during))?;
        if !string.ctx.is_empty() {
            let message =
                format!("the string '{}' is not allowed to refer to a store path", string.text());
            return Err(Error::eval(message, NO_POS).frame(NO_POS, during));
        }
        Ok(string.text())
    }

    fn drv_path(&self, attrs: &'a Attrs<'a>) -> Result<String> {
        let during = "while evaluating the 'drvPath' attribute of a derivation";
        let Some(value) = attrs.value(sym::DRV_PATH) else {
            return Err(Error::eval("derivation does not contain a 'drvPath' attribute", NO_POS));
        };
        let (bytes, _) = self
            .nix
            .coerce_bytes(value, Coercion::APPEND, NO_POS)
            .map_err(|error| error.frame(NO_POS, during))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match self.nix.store_dir.parse_path(text.as_bytes()) {
            Ok(path) if path.is_derivation() => Ok(text),
            _ => {
                let message = format!("path '{text}' is not a derivation in the store");
                Err(Error::eval(message, NO_POS).frame(NO_POS, during))
            }
        }
    }

    fn all(&mut self, value: Value<'a>, path: &str) -> Result<()> {
        let nix = self.nix;
        nix.check_stack(NO_POS)?;
        let value = nix.call_with(value, self.arguments)?;
        if !self.one(value, path)? {
            return Ok(());
        }
        let below = |name: &str| match path {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        match value {
            Value::Attrs(attrs) => {
                let everywhere = nix
                    .symbols
                    .lookup(b"_combineChannels")
                    .is_some_and(|name| attrs.get(name).is_some());
                for attr in nix.sorted(attrs) {
                    if !is_component(nix.symbols.name(attr.name)) {
                        continue;
                    }
                    let name = nix.name(attr.name);
                    let result = if everywhere {
                        self.all(attr.value(), &below(&name))
                    } else {
                        self.attribute(attr.value(), &below(&name))
                    };
                    result.map_err(|error| {
                        error.frame(attr.pos(), format!("while evaluating the attribute '{name}'"))
                    })?;
                }
                Ok(())
            }
            Value::List(list) => {
                for (index, item) in list.items().enumerate() {
                    let path = below(&index.to_string());
                    if self.one(item, &path)? {
                        self.all(item, &path)?;
                    }
                }
                Ok(())
            }
            _ => Err(Error::ty(
                "expression does not evaluate to a derivation (or a set or list of those)",
                NO_POS,
            )),
        }
    }

    fn attribute(&mut self, value: Value<'a>, path: &str) -> Result<()> {
        let nix = self.nix;
        if !self.one(value, path)? {
            return Ok(());
        }
        let Value::Attrs(attrs) = nix.force(value, NO_POS)? else { return Ok(()) };
        let Some(name) = nix.symbols.lookup(b"recurseForDerivations") else { return Ok(()) };
        let Some(attr) = attrs.get(name) else { return Ok(()) };
        match nix.force(attr.value(), attr.pos())? {
            Value::Bool(true) => self.all(value, path),
            Value::Bool(false) => Ok(()),
            other => Err(nix.wrong_type("a Boolean", other, attr.pos())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arena, ComputeIo, Settings};

    fn on_value(text: &str, check: impl for<'a> FnOnce(&Evaluator<'a>, Value<'a>)) {
        let arena = Arena::new();
        let nix = Evaluator::new(&arena, ComputeIo::new(), Settings::default());
        let value = nix.eval_str(text, "/").unwrap();
        check(&nix, value);
    }

    #[test]
    fn attribute_paths() {
        let parsed = |text| parse_attr_path(text).unwrap().join("|");
        assert_eq!(parsed("a.b.0"), "a|b|0");
        assert_eq!(parsed("a.\"b.c\".d"), "a|b.c|d");
        assert_eq!(parsed(""), "");
        assert_eq!(parsed("a."), "a");
        assert!(parse_attr_path("a.\"b").is_err());
    }

    #[test]
    fn derivations_are_found_where_nix_looks_for_them() {
        let text = "let d = name: derivation { inherit name; system = \"s\"; builder = \"b\"; \
            outputs = [ \"out\" \"dev\" ]; }; in
            { a ? \"x\" }: { one = d a; two = (d \"two\").dev; n = 1; list = [ (d \"no\") ];
            deep = { recurseForDerivations = true; in' = d \"in\"; ok = d \"ok\"; s.no = d \"no\"; };
            again = { recurseForDerivations = true; }; same = d \"x\"; \"a b\" = d \"no\"; }";
        on_value(text, |nix, value| {
            let found = nix.packages(value, &[]).unwrap();
            let found: Vec<String> =
                found.iter().map(|p| format!("{}!{}", p.attr_path, p.output)).collect();
            assert_eq!(found, ["deep.ok!out", "one!out", "same!out", "two!dev"]);
            let list = nix.select_attr_path(value, "list", &[]).unwrap();
            assert_eq!(nix.packages(list, &[]).unwrap().len(), 1);
            let error = nix.select_attr_path(value, "list.1", &[]).unwrap_err();
            assert_eq!(error.message(), "list index 1 in selection path 'list.1' is out of range");
            let error = nix.select_attr_path(value, "onee", &[]).unwrap_err();
            assert_eq!(error.help(), Some("Did you mean one?"));
            let number = nix.select_attr_path(value, "n", &[]).unwrap();
            assert!(nix.packages(number, &[]).is_err());
        });
    }

    #[test]
    fn functions_get_the_arguments_they_take() {
        on_value("{ a, b ? 2 }: a + b", |nix, value| {
            let one = ("a".to_owned(), Value::Int(1));
            let other = ("c".to_owned(), Value::Int(1));
            let called = nix.auto_call(value, &[one, other]).unwrap();
            assert_eq!(nix.print(called).unwrap(), "3");
            let error = nix.auto_call(value, &[]).unwrap_err();
            assert_eq!(
                error.message(),
                "cannot evaluate a function that has an argument without a value ('a')"
            );
        });
        on_value("x: x", |nix, value| {
            assert!(nix.auto_call(value, &[]).unwrap().is_function());
        });
        on_value("{ __functor = self: { a ? 4 }: a; }", |nix, value| {
            assert_eq!(nix.print(nix.auto_call(value, &[]).unwrap()).unwrap(), "4");
        });
    }
}
