//! What a derivation asks of the machine it is built on.

use crate::error::{Error, Result};
use nix_compat::{Derivation, StorePath};
use std::collections::BTreeSet;
use std::path::Path;

/// The features it lists in `requiredSystemFeatures`.
pub(super) fn required_features(derivation: &Derivation) -> BTreeSet<String> {
    let mut features = BTreeSet::new();
    if let Some(attributes) = derivation.structured_attrs() {
        let listed = attributes.get("requiredSystemFeatures").and_then(|v| v.as_array());
        let names = listed.into_iter().flatten().filter_map(|v| v.as_str());
        features.extend(names.map(str::to_owned));
    } else if let Some(value) = derivation.environment().get("requiredSystemFeatures") {
        let text = String::from_utf8_lossy(value);
        features.extend(text.split_ascii_whitespace().map(str::to_owned));
    }
    features
}

/// Refuses what cannot be built here, and says why.
pub(super) fn check_platform(
    drv: &StorePath,
    derivation: &Derivation,
    features: &BTreeSet<String>,
) -> Result<()> {
    let ours = format!("{}-linux", std::env::consts::ARCH);
    let refuse = |what: String| Err(Error::Unsupported { drv: drv.clone(), what });
    if derivation.system() != ours {
        return refuse(format!("it is for {}, this is {ours}", derivation.system()));
    }
    for feature in features {
        let there = match feature.as_str() {
            "uid-range" | "nixos-test" | "benchmark" | "big-parallel" => true,
            "kvm" => Path::new("/dev/kvm").exists(),
            _ => false,
        };
        if !there {
            return refuse(format!("it needs the system feature {feature}, which is not here"));
        }
    }
    if derivation.environment().contains_key("exportReferencesGraph") {
        return refuse("exportReferencesGraph is not implemented".into());
    }
    Ok(())
}
