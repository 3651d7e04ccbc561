//! The attributes of inputs: texts, numbers and truth values.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

/// One attribute of an input.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attr {
    /// A text.
    Text(String),
    /// A number that is not negative.
    Int(u64),
    /// A truth value.
    Bool(bool),
}

/// The attributes of an input: `type` and what belongs to it.
pub type Attrs = BTreeMap<String, Attr>;

impl From<&str> for Attr {
    fn from(text: &str) -> Self {
        Attr::Text(text.to_owned())
    }
}

impl From<String> for Attr {
    fn from(text: String) -> Self {
        Attr::Text(text)
    }
}

impl Attr {
    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Attr::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one.
    #[must_use]
    pub fn int(&self) -> Option<u64> {
        match self {
            Attr::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// How it stands in a query.
    #[must_use]
    pub fn in_query(&self) -> String {
        match self {
            Attr::Text(text) => text.clone(),
            Attr::Int(number) => number.to_string(),
            Attr::Bool(value) => u8::from(*value).to_string(),
        }
    }
}

/// The attributes as JSON.
#[must_use]
pub fn to_json(attrs: &Attrs) -> Json {
    let entries = attrs.iter().map(|(name, attr)| {
        let value = match attr {
            Attr::Text(text) => Json::from(text.as_str()),
            Attr::Int(number) => Json::from(*number),
            Attr::Bool(value) => Json::from(*value),
        };
        (name.clone(), value)
    });
    Json::Object(entries.collect::<Map<String, Json>>())
}

/// The attributes from JSON.
///
/// # Errors
/// When it is no object of texts, numbers and truth values.
pub fn from_json(json: &Json) -> Result<Attrs, String> {
    let object = json.as_object().ok_or("the attributes of an input must be an object")?;
    let mut attrs = Attrs::new();
    for (name, value) in object {
        let attr = match value {
            Json::String(text) => Attr::Text(text.clone()),
            Json::Bool(value) => Attr::Bool(*value),
            Json::Number(number) => match number.as_u64() {
                Some(number) => Attr::Int(number),
                None => return Err(format!("the input attribute '{name}' is no natural number")),
            },
            _ => return Err(format!("unsupported input attribute type in lock file: '{name}'")),
        };
        attrs.insert(name.clone(), attr);
    }
    Ok(attrs)
}
