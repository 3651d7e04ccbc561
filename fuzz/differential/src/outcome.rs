//! What came of a program, in a form in which two evaluators can be compared.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Value(String),
    /// Class, and the message where it is the program's own.
    Error(&'static str, String),
    /// Ended without an answer: killed, out of time.
    Nothing,
}

impl Outcome {
    /// What kind of outcome it is, in a few words.
    pub fn kind(&self) -> String {
        match self {
            Outcome::Value(_) => "value".to_owned(),
            Outcome::Error(class, message) if *class == "other" => message
                .chars()
                .filter(|char| char.is_ascii_alphabetic() || *char == ' ')
                .take(24)
                .collect(),
            Outcome::Error(class, _) => (*class).to_owned(),
            Outcome::Nothing => "nothing".to_owned(),
        }
    }

    /// Whether two evaluators agree.
    pub fn agrees(&self, other: &Outcome) -> bool {
        match (self, other) {
            // Programs are evaluated without a store here: what is in it cannot be read.
            (Outcome::Error(_, message), _)
                if message.contains("there is no store to build in") =>
            {
                true
            }
            (Outcome::Error(a, x), Outcome::Error(b, y)) => {
                // A terminal's white space is not that of the message.
                let words = |text: &str| text.split_whitespace().collect::<String>();
                a == b && (!matches!(*a, "throw" | "abort") || words(x) == words(y))
            }
            // It takes too long there, as regular expressions can.
            (_, Outcome::Nothing) => true,
            (a, b) => a == b,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Value(text) => write!(f, "value  {text}"),
            Outcome::Error(class, message) => write!(f, "error  {class}: {message}"),
            Outcome::Nothing => f.write_str("nothing"),
        }
    }
}

/// The class of an error from its message.
pub fn classify(message: &str) -> Outcome {
    const CLASSES: &[(&str, &str)] = &[
        ("TH:", "throw"),
        ("evaluation aborted with", "abort"),
        ("while parsing TOML", "toml"),
        ("[json.exception", "json"),
        ("cannot read this as JSON", "json"),
        ("undefined variable", "undefined"),
        ("syntax error", "syntax"),
        ("dynamic attributes not allowed", "syntax"),
        ("already defined", "syntax"),
        ("duplicate formal", "syntax"),
        ("invalid integer", "syntax"),
        ("invalid float", "syntax"),
        ("infinite recursion", "recursion"),
        ("stack overflow", "depth"),
        ("integer overflow", "overflow"),
        ("division by zero", "division"),
        ("assertion ", "assert"),
        ("' is not equal to ", "assert"),
        ("' differs from attribute set", "assert"),
        ("is contained in '", "assert"),
        ("distinct functions and immediate comparisons", "assert"),
        ("' missing", "missing"),
        ("expected a", "type"),
        ("cannot coerce", "type"),
        ("is not a function", "type"),
        ("not a function but", "type"),
        ("cannot add", "type"),
        ("cannot compare", "type"),
        ("without required argument", "type"),
        ("with unexpected argument", "type"),
        ("was expected", "type"),
        ("requires a function", "type"),
        ("flake reference attribute sets may only contain", "type"),
        ("cannot convert", "type"),
        ("is not allowed to refer to a store path", "context"),
        ("invalid regular expression", "regex"),
    ];
    let first = message.lines().next().unwrap_or_default();
    let found = CLASSES.iter().find(|(part, class)| match *class {
        "throw" => message.starts_with(part),
        _ => first.contains(part),
    });
    Outcome::Error(found.map_or("other", |(_, class)| class), message.trim_end().to_owned())
}
