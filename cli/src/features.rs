//! The experimental features of C++ Nix, as command lines and `nix.conf` name them.

use crate::output;

/// Those that C++ Nix 2.34 knows. What hc has of them is on without being asked for, but for what
/// changes the meaning of files: the evaluator asks for those.
const KNOWN: &[&str] = &[
    "auto-allocate-uids",
    "blake3-hashes",
    "ca-derivations",
    "cgroups",
    "configurable-impure-env",
    "daemon-trust-override",
    "dynamic-derivations",
    "external-builders",
    "fetch-closure",
    "fetch-tree",
    "flakes",
    "git-hashing",
    "impure-derivations",
    "local-overlay-store",
    "mounted-ssh-store",
    "nix-command",
    "parse-toml-timestamps",
    "pipe-operators",
    "read-only-local-store",
    "recursive-nix",
    "verified-fetches",
];

/// Which experimental features are on, for every verb that evaluates.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct FeatureArgs {
    /// Turn experimental features of Nix on, beside those that nix.conf has
    #[arg(long, value_name = "FEATURES")]
    pub extra_experimental_features: Vec<String>,
    /// Turn these experimental features of Nix on, and no others
    #[arg(long, value_name = "FEATURES")]
    pub experimental_features: Option<String>,
}

impl FeatureArgs {
    /// Those that hold before others are added.
    fn base(&self) -> anyhow::Result<Vec<String>> {
        match &self.experimental_features {
            Some(names) => Ok(named(names)),
            None => crate::nix_conf::experimental_features(),
        }
    }

    /// Those that are added.
    fn extra(&self) -> impl Iterator<Item = String> {
        self.extra_experimental_features.iter().flat_map(named)
    }

    /// All that are on, with a warning for those that nobody knows.
    pub fn all(&self) -> anyhow::Result<Vec<String>> {
        let mut all = self.base()?;
        all.extend(self.extra());
        warn(&all);
        Ok(all)
    }
}

/// The names in a text.
fn named(text: impl AsRef<str>) -> Vec<String> {
    text.as_ref().split_whitespace().map(str::to_owned).collect()
}

/// Says which of them nobody knows.
fn warn(features: &[String]) {
    for feature in features.iter().filter(|feature| !KNOWN.contains(&feature.as_str())) {
        output::warn_once(match feature.as_str() {
            "no-url-literals" => {
                "experimental feature 'no-url-literals' has been stabilized and renamed; use \
                 'lint-url-literals = fatal' setting instead"
                    .to_owned()
            }
            _ => format!("unknown experimental feature '{feature}'"),
        });
    }
}
