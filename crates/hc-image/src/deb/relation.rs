//! What packages say of each other: `a (>= 1) | b, c:any [amd64]`.

use super::version;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// How a version must compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// `<<`
    Before,
    /// `<=`
    UpTo,
    /// `=`
    Exactly,
    /// `>=`
    From,
    /// `>>`
    After,
}

/// One package that would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relation {
    /// Its name.
    pub name: String,
    /// What its version must be.
    pub version: Option<(Op, String)>,
}

impl Relation {
    /// Whether `version` is one that would do.
    #[must_use]
    pub fn accepts(&self, version: &str) -> bool {
        let Some((op, wanted)) = &self.version else { return true };
        let order = version::compare(version, wanted);
        match op {
            Op::Before => order == Ordering::Less,
            Op::UpTo => order != Ordering::Greater,
            Op::Exactly => order == Ordering::Equal,
            Op::From => order != Ordering::Less,
            Op::After => order == Ordering::Greater,
        }
    }
}

impl std::fmt::Display for Relation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        let Some((op, version)) = &self.version else { return Ok(()) };
        let op = match op {
            Op::Before => "<<",
            Op::UpTo => "<=",
            Op::Exactly => "=",
            Op::From => ">=",
            Op::After => ">>",
        };
        write!(f, " ({op} {version})")
    }
}

/// Whether `name` can be a package's name.
#[must_use]
pub fn is_package_name(name: &str) -> bool {
    name.len() > 1
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
        && !name.starts_with(['+', '-', '.'])
}

/// A field: all of the outer list are needed, any of an inner list will do.
///
/// Binary packages' fields have no architecture or profile restrictions left; an architecture
/// qualifier (`:any`) is dropped, as an image has one architecture.
///
/// # Errors
/// A sentence with the part that cannot be read.
pub fn parse(field: &str) -> Result<Vec<Vec<Relation>>, String> {
    let groups = field.split(',').map(str::trim).filter(|g| !g.is_empty());
    groups.map(|group| group.split('|').map(one).collect()).collect()
}

fn one(text: &str) -> Result<Relation, String> {
    let text = text.trim();
    let wrong = || format!("`{text}` is not a package relation");
    let (name, rest) = match text.find(['(', ' ']) {
        Some(at) => (text[..at].trim(), text[at..].trim()),
        None => (text, ""),
    };
    let name = name.split_once(':').map_or(name, |(name, _)| name);
    if !is_package_name(name) {
        return Err(wrong());
    }
    if rest.is_empty() {
        return Ok(Relation { name: name.into(), version: None });
    }
    let inner = rest.strip_prefix('(').and_then(|r| r.strip_suffix(')')).ok_or_else(wrong)?.trim();
    // The obsolete single `<` and `>` mean "or equal".
    let ops = [
        ("<<", Op::Before),
        ("<=", Op::UpTo),
        (">=", Op::From),
        (">>", Op::After),
        ("=", Op::Exactly),
        ("<", Op::UpTo),
        (">", Op::From),
    ];
    let (op, version) = ops
        .iter()
        .find_map(|(sign, op)| Some((*op, inner.strip_prefix(sign)?.trim())))
        .filter(|(_, version)| !version.is_empty())
        .ok_or_else(wrong)?;
    Ok(Relation { name: name.into(), version: Some((op, version.into())) })
}
