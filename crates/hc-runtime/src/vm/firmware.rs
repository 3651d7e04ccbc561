//! UEFI firmware of this host, found by the descriptions that come with it
//! (QEMU's `docs/interop/firmware.json`), as libvirt finds it.

use crate::error::{Doing, Hint, Problem, Res};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Where descriptions lie; of two with one name the first one counts, and an empty one hides the other.
const DESCRIPTIONS: [&str; 4] = [
    "etc/qemu/firmware",
    "usr/local/share/qemu/firmware",
    "run/current-system/sw/share/qemu/firmware",
    "usr/share/qemu/firmware",
];
/// What firmware and its variables may take together: the flash of a PC has no room for more.
const LARGEST: u64 = 16 << 20;

/// Firmware, and the variables that a machine begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Firmware {
    pub code: PathBuf,
    pub variables: PathBuf,
    /// It protects its variables by system management mode.
    pub guarded: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Description {
    interface_types: Vec<String>,
    mapping: Mapping,
    targets: Vec<Target>,
    features: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mapping {
    device: String,
    executable: Option<Flash>,
    nvram_template: Option<Flash>,
}

#[derive(Deserialize)]
struct Flash {
    filename: PathBuf,
    format: String,
}

#[derive(Deserialize)]
struct Target {
    architecture: String,
    machines: Vec<String>,
}

impl Description {
    fn fits(self, secure_boot: bool) -> Option<Firmware> {
        let has = |feature: &str| self.features.iter().any(|f| f == feature);
        let pc = |target: &Target| {
            target.architecture == "x86_64"
                && target.machines.iter().any(|m| m.starts_with("pc-q35"))
        };
        let uefi = self.interface_types.iter().any(|kind| kind == "uefi");
        let enrolled = has("secure-boot") && has("enrolled-keys");
        if !uefi
            || self.mapping.device != "flash"
            || enrolled != secure_boot
            || !self.targets.iter().any(pc)
        {
            return None;
        }
        let (code, variables) =
            (self.mapping.executable.as_ref()?, self.mapping.nvram_template.as_ref()?);
        let raw = code.format == "raw" && variables.format == "raw";
        raw.then(|| Firmware {
            code: code.filename.clone(),
            variables: variables.filename.clone(),
            guarded: has("requires-smm"),
        })
    }
}

/// The firmware that is wanted: with the keys that Secure Boot goes by, or without.
pub(super) fn find(root: &Path, secure_boot: bool) -> Res<Firmware> {
    let mut descriptions: BTreeMap<_, PathBuf> = BTreeMap::new();
    for dir in DESCRIPTIONS {
        for entry in std::fs::read_dir(root.join(dir)).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "json") {
                descriptions.entry(entry.file_name()).or_insert_with(|| entry.path());
            }
        }
    }
    // Their order is their rank. One that cannot be read is not this machine's fault.
    let known =
        |path: &PathBuf| serde_json::from_slice::<Description>(&std::fs::read(path).ok()?).ok();
    let fit = descriptions.values().filter_map(known).filter_map(|found| found.fits(secure_boot));
    let there = |found: &Firmware| found.code.exists() && found.variables.exists();
    fit.into_iter().find(there).ok_or_else(|| {
        let with = if secure_boot { " with Secure Boot and Microsoft's keys" } else { "" };
        Problem::plain(format!(
            "this host has no UEFI firmware for PCs{with}: install the package 'ovmf' (Debian), or \
             see q35.secureBoot"
        ))
    })
}

/// The machine's own variables: what it was left with, or what it begins with.
pub(super) fn variables(firmware: &Firmware, dir: &Path) -> Res<File> {
    let path = dir.join("nvram");
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let open = || rustix::fs::open(&path, flags, Mode::empty()).map(File::from);
    match open() {
        Err(Errno::NOENT) => {
            let template = std::fs::read(&firmware.variables)
                .doing_with(|| format!("read {}", firmware.variables.display()))?;
            if template.len() as u64 > LARGEST {
                return Err(Problem::plain(format!(
                    "{} is too large for flash",
                    firmware.variables.display()
                )));
            }
            hc_fs::durable::write(&path, &template, 0o600)?;
            open()
        }
        opened => opened,
    }
    .doing_with(|| format!("open {}", path.display()))
    .hint("; it holds the machine's boot order and keys")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(root: &Path, code: &str, features: &[&str]) -> String {
        let flash = |name: &str| {
            let filename = root.join(name);
            hc_fs::plain::write(&filename, name.as_bytes(), 0o644).unwrap();
            serde_json::json!({"filename": filename, "format": "raw"})
        };
        serde_json::json!({
            "description": "UEFI", "interface-types": ["uefi"], "features": features, "tags": [],
            "mapping": {"device": "flash", "mode": "split", "executable": flash(code), "nvram-template": flash(&format!("{code}.vars"))},
            "targets": [{"architecture": "x86_64", "machines": ["pc-i440fx-*", "pc-q35-*"]}],
        })
        .to_string()
    }

    #[test]
    fn the_first_that_fits_counts() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for place in DESCRIPTIONS {
            hc_fs::plain::create_dir_all(&root.join(place), 0o755).unwrap();
        }
        let put = |place: usize, name: &str, text: &str| {
            hc_fs::plain::write(&root.join(DESCRIPTIONS[place]).join(name), text.as_bytes(), 0o644)
                .unwrap();
        };
        let said = find(root, true).unwrap_err().to_string();
        assert!(said.contains("'ovmf'"), "{said}");
        put(
            3,
            "40-keys.json",
            &description(root, "keys", &["enrolled-keys", "requires-smm", "secure-boot"]),
        );
        put(3, "50-no-keys.json", &description(root, "empty", &["requires-smm", "secure-boot"]));
        put(3, "60-plain.json", &description(root, "plain", &[]));
        put(3, "70-broken.json", "{");
        let found = |secure| {
            find(root, secure)
                .map(|found| (found.code.strip_prefix(root).unwrap().to_owned(), found.guarded))
        };
        assert_eq!(found(true).unwrap(), ("keys".into(), true));
        assert_eq!(found(false).unwrap(), ("empty".into(), true));
        put(0, "50-no-keys.json", "");
        assert_eq!(found(false).unwrap(), ("plain".into(), false));
        hc_fs::plain::remove_file(&root.join("plain")).unwrap();
        found(false).unwrap_err();
    }

    #[test]
    fn variables_are_kept() {
        use std::io::{Read, Write};
        let dir = tempfile::tempdir().unwrap();
        let template = dir.path().join("template");
        hc_fs::plain::write(&template, b"fresh", 0o644).unwrap();
        let firmware = Firmware { code: template.clone(), variables: template, guarded: true };
        let text = || {
            let mut text = String::new();
            variables(&firmware, dir.path()).unwrap().read_to_string(&mut text).unwrap();
            text
        };
        assert_eq!(text(), "fresh");
        variables(&firmware, dir.path()).unwrap().write_all(b"FRE").unwrap();
        assert_eq!(text(), "FREsh");
    }
}
