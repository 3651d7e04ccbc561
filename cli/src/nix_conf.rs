//! Settings of the store that this host's `nix.conf` has: both share one store, and one opinion.

use crate::error::{Code, Failure};
use nix_store::Keep;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Files that may include each other, at most so deep.
const DEPTH: u32 = 16;

/// `keep-derivations` and `keep-outputs`, by these names or their older ones.
pub fn keep() -> anyhow::Result<Keep> {
    let settings = read()?;
    let default = Keep::default();
    Ok(Keep {
        derivations: boolean(
            &settings,
            &["keep-derivations", "gc-keep-derivations"],
            default.derivations,
        )?,
        outputs: boolean(&settings, &["keep-outputs", "gc-keep-outputs"], default.outputs)?,
    })
}

/// `auto-optimise-store`.
pub fn auto_optimise() -> anyhow::Result<bool> {
    boolean(&read()?, &["auto-optimise-store"], false)
}

/// The system's file and `$NIX_CONFIG`, in the order in which C++ Nix reads them.
fn read() -> anyhow::Result<BTreeMap<String, String>> {
    let directory =
        std::env::var_os("NIX_CONF_DIR").map_or_else(|| "/etc/nix".into(), PathBuf::from);
    let file = directory.join("nix.conf");
    let mut settings = BTreeMap::new();
    match std::fs::read_to_string(&file) {
        Ok(text) => parse(&text, &file, 0, &mut settings)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            let message = format!("cannot read {}: {error}", file.display());
            return Err(Failure::new(Code::Host, message).into());
        }
    }
    if let Ok(text) = std::env::var("NIX_CONFIG") {
        parse(&text, Path::new("/"), 0, &mut settings)?;
    }
    Ok(settings)
}

/// `name = value` lines with `#` comments, `include` and `!include` (which may be missing).
fn parse(
    text: &str,
    file: &Path,
    depth: u32,
    to: &mut BTreeMap<String, String>,
) -> anyhow::Result<()> {
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            [include @ ("include" | "!include"), other] => {
                let other = file.parent().unwrap_or(Path::new("/")).join(other);
                match std::fs::read_to_string(&other) {
                    Ok(text) if depth < DEPTH => parse(&text, &other, depth + 1, to)?,
                    Err(_) if *include == "!include" => {}
                    _ => {
                        let message = format!(
                            "{} includes {}, which cannot be read",
                            file.display(),
                            other.display()
                        );
                        return Err(Failure::new(Code::Host, message).into());
                    }
                }
            }
            [name, "=", value @ ..] => {
                to.insert((*name).to_owned(), value.join(" "));
            }
            // What else is wrong with it is for Nix to say.
            _ => {}
        }
    }
    Ok(())
}

fn boolean(
    settings: &BTreeMap<String, String>,
    names: &[&str],
    default: bool,
) -> anyhow::Result<bool> {
    let Some((name, value)) = names.iter().find_map(|name| Some((name, settings.get(*name)?)))
    else {
        return Ok(default);
    };
    match value.as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => {
            let message = format!("nix.conf: {name} must be true or false, not {value:?}");
            Err(Failure::new(Code::Host, message).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_nix_reads_them() {
        let mut settings = BTreeMap::new();
        let text = "keep-outputs = true # why not\n\nbad line\n!include /no/such/file\nkeep-derivations = maybe";
        parse(text, Path::new("/x/nix.conf"), 0, &mut settings).unwrap();
        assert!(boolean(&settings, &["keep-outputs"], false).unwrap());
        assert!(!boolean(&settings, &["auto-optimise-store"], false).unwrap());
        assert!(boolean(&settings, &["keep-derivations"], true).is_err());
        assert!(parse("include /no/such", Path::new("/x"), 0, &mut settings).is_err());
    }
}
