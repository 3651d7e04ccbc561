//! What a derivation asks of the machine it is built on.

use super::options;
use crate::error::{Error, Result};
use nix_compat::{Derivation, StorePath};
use std::collections::BTreeSet;

/// The system that 32-bit programs of an x86-64 machine are built for.
pub(super) const I686: &str = "i686-linux";

/// What such a build sees of the machine, from linux/personality.h.
pub(super) const PER_LINUX32: i32 = 8;

/// The systems this machine builds for, its own first.
fn systems() -> Vec<String> {
    let mut systems = vec![format!("{}-linux", std::env::consts::ARCH)];
    #[cfg(target_arch = "x86_64")]
    {
        systems.push(I686.into());
        systems.push("x86_64-v1-linux".into());
        let has = |all: &[bool]| all.iter().all(|have| *have);
        // The levels of the x86-64 psABI.
        let v2 = has(&[
            std::is_x86_feature_detected!("cmpxchg16b"),
            std::is_x86_feature_detected!("popcnt"),
            std::is_x86_feature_detected!("sse4.2"),
            std::is_x86_feature_detected!("ssse3"),
        ]);
        let v3 = v2
            && has(&[
                std::is_x86_feature_detected!("avx2"),
                std::is_x86_feature_detected!("bmi1"),
                std::is_x86_feature_detected!("bmi2"),
                std::is_x86_feature_detected!("f16c"),
                std::is_x86_feature_detected!("fma"),
                std::is_x86_feature_detected!("lzcnt"),
                std::is_x86_feature_detected!("movbe"),
            ]);
        let v4 = v3
            && has(&[
                std::is_x86_feature_detected!("avx512f"),
                std::is_x86_feature_detected!("avx512bw"),
                std::is_x86_feature_detected!("avx512cd"),
                std::is_x86_feature_detected!("avx512dq"),
                std::is_x86_feature_detected!("avx512vl"),
            ]);
        for (level, there) in [("v2", v2), ("v3", v3), ("v4", v4)] {
            if there {
                systems.push(format!("x86_64-{level}-linux"));
            }
        }
    }
    systems
}

/// Whether builders may use hardware virtualisation: everybody sees the device then.
pub(super) fn has_kvm() -> bool {
    use rustix::fs::Access;
    rustix::fs::access("/dev/kvm", Access::READ_OK | Access::WRITE_OK).is_ok()
}

/// Refuses what cannot be built here, and says why.
pub(super) fn check_platform(
    drv: &StorePath,
    derivation: &Derivation,
    features: &BTreeSet<String>,
) -> Result<()> {
    let refuse = |what: String| Err(Error::Unsupported { drv: drv.clone(), what });
    let systems = systems();
    if !systems.iter().any(|system| system.as_bytes() == derivation.system()) {
        let ours = systems.first().map_or("", String::as_str);
        let system = String::from_utf8_lossy(derivation.system());
        return refuse(format!("it is for {system}, this is {ours}"));
    }
    for feature in features {
        let there = match feature.as_str() {
            "uid-range" | "nixos-test" | "benchmark" | "big-parallel" | "ca-derivations" => true,
            "kvm" => has_kvm(),
            "recursive-nix" => {
                if !rustix::process::geteuid().is_root() {
                    let what = "it needs the system feature recursive-nix, which takes root to show \
                                the builder what it adds; build as root";
                    return refuse(what.into());
                }
                true
            }
            _ => false,
        };
        if !there {
            return refuse(format!("it needs the system feature {feature}, which is not here"));
        }
    }
    if options::flag(derivation, "__noChroot") {
        let what = "it sets __noChroot, to be built without a sandbox, and hc has no builds \
                    without one";
        return refuse(what.into());
    }
    Ok(())
}
