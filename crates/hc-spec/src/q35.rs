//! What only machines of the kind `q35` have: a whole PC with firmware, for systems that are not
//! hc's, Windows among them.

use crate::machine::{Isolation, MachineSpec, ReadyWhen};
use crate::vm::{LEAST_MEMORY, MOST_VCPUS};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The smallest disk that is made, in bytes.
pub const LEAST_DISK: u64 = 1 << 20;
/// CDs besides the answers.
pub const MOST_MEDIA: usize = 4;

/// The PC that a machine is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Q35 {
    /// Bytes of memory, whole mebibytes.
    pub memory: u64,
    /// Virtual processors.
    pub vcpus: u32,
    /// Bytes of its disk, whole sectors. Absent: as large as the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_size: Option<u64>,
    /// The firmware starts only what Microsoft's keys have signed.
    #[serde(default)]
    pub secure_boot: bool,
    /// It has a TPM 2.0.
    #[serde(default)]
    pub tpm: bool,
    /// ISO files in the store that it is installed from. They are there as long as nothing was
    /// written to the disk.
    #[serde(default)]
    pub media: Vec<PathBuf>,
    /// Who it is, for Linux systems that have cloud-init.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_init: Option<CloudInit>,
    /// What Windows setup is answered; with `media`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<Windows>,
}

/// What cloud-init is told besides the machine's name and addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CloudInit {
    /// OpenSSH public keys of who may log in.
    #[serde(default)]
    pub authorized_keys: Vec<String>,
}

/// What Windows setup is answered besides the machine's name and addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Windows {
    /// Number of the edition in the ISO's `install.wim`, 1 for the first.
    pub edition: u32,
    /// Product key; without one the edition asks later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_key: Option<String>,
    /// Language, such as `en-US`.
    pub locale: String,
    /// A time zone by its name in Windows, such as `UTC`.
    pub time_zone: String,
    /// Folder of the drivers on the virtio ISO, such as `w11` or `2k22`.
    pub drivers: String,
    /// Remote desktop is switched on.
    #[serde(default)]
    pub rdp: bool,
    /// OpenSSH's server is installed and switched on.
    #[serde(default)]
    pub ssh: bool,
    /// OpenSSH public keys of who may log in as the administrator.
    #[serde(default)]
    pub authorized_keys: Vec<String>,
}

type Check = Result<(), (&'static str, String)>;

impl MachineSpec {
    /// Checks a machine of this kind. The option at fault, and what is wrong.
    pub(crate) fn check_q35(&self) -> Check {
        let Some(q35) = &self.q35 else {
            return Err(("q35", "is missing: such a machine needs memory and a disk".into()));
        };
        self.check_foreign()?;
        if q35.memory < LEAST_MEMORY || q35.memory % (1 << 20) != 0 {
            let least = LEAST_MEMORY >> 20;
            return Err(("q35.memory", format!("must be whole mebibytes, at least {least}")));
        }
        if !(1..=MOST_VCPUS).contains(&q35.vcpus) {
            return Err(("q35.vcpus", format!("must be from 1 to {MOST_VCPUS}")));
        }
        match q35.disk_size {
            None if self.image.disk.is_none() => {
                return Err((
                    "q35.diskSize",
                    "is not given, and there is no image to go by".into(),
                ));
            }
            Some(size) if size < LEAST_DISK || size % 512 != 0 => {
                return Err(("q35.diskSize", "must be whole sectors, at least 1 MiB".into()));
            }
            _ => {}
        }
        if !q35.media.is_empty() && self.image.disk.is_some() {
            return Err((
                "q35.media",
                "is what an empty disk is installed from: take the image out".into(),
            ));
        }
        if q35.media.len() > MOST_MEDIA {
            return Err(("q35.media", format!("has more than {MOST_MEDIA} files")));
        }
        if q35.windows.is_some() && q35.cloud_init.is_some() {
            return Err((
                "q35.cloudInit",
                "is for Linux, and q35.windows for Windows: choose one".into(),
            ));
        }
        match &q35.windows {
            Some(_) if q35.media.is_empty() => Err((
                "q35.windows",
                "answers a setup, which needs Windows' ISO in q35.media".into(),
            )),
            // NetBIOS has no more.
            Some(_) if self.name.as_str().len() > 15 => {
                Err(("name", "is too long for Windows, which has 15 characters".into()))
            }
            Some(windows) if windows.edition == 0 => {
                Err(("q35.windows.edition", "must be at least 1".into()))
            }
            _ => Ok(()),
        }
    }

    /// Its system starts what it starts: nothing of that is hc's to say.
    fn check_foreign(&self) -> Check {
        let inside = "is for machines whose processes hc starts: what is on the disk decides";
        let given = [
            ("image.rootfs", self.image.rootfs.is_some()),
            ("image.manifest", self.image.manifest.is_some()),
            ("vm", self.vm.is_some()),
            ("command", !self.command.is_empty()),
            ("env", !self.env.is_empty()),
            ("user", self.user.is_some()),
            ("workdir", self.workdir.is_some()),
            ("init", self.init.is_some()),
            ("files", !self.files.is_empty()),
            ("stop.signal", self.stop.signal.is_some()),
            ("isolation", self.isolation != Isolation::default()),
            ("limits.pids", self.limits.pids.is_some()),
        ];
        if let Some((field, _)) = given.into_iter().find(|(_, given)| *given) {
            return Err((field, inside.into()));
        }
        if self.limits.memory.is_some() {
            return Err(("limits.memory", "is for containers: use q35.memory".into()));
        }
        if self.limits.root_size.is_some() {
            return Err(("limits.rootSize", "is for containers: use q35.diskSize".into()));
        }
        if self.ready.when == ReadyWhen::Notify {
            return Err((
                "ready.when",
                "cannot be \"notify\": nothing inside knows hc; use \"tcp\"".into(),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn parse(change: impl FnOnce(&mut Value)) -> Result<MachineSpec, String> {
        let mut value = json!({
            "schema": 1, "name": "desk", "host": "demo", "cloud": "demo", "kind": "q35",
            "q35": {"memory": 4_294_967_296_u64, "vcpus": 2, "diskSize": 68_719_476_736_u64,
                    "secureBoot": true, "tpm": true, "media": ["/nix/store/w/win.iso"],
                    "windows": {"edition": 6, "locale": "en-US", "timeZone": "UTC", "drivers": "w11"}},
        });
        change(&mut value);
        MachineSpec::from_json(value.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_pc_is_read_back_as_it_was_written() {
        let spec = parse(|_| ()).unwrap();
        assert_eq!(MachineSpec::from_json(spec.to_json().as_bytes()).unwrap(), spec);
        parse(|spec| {
            spec["image"] = json!({"disk": "/nix/store/d/disk.raw"});
            spec["q35"] = json!({"memory": 1 << 30, "vcpus": 1, "cloudInit": {}});
        })
        .unwrap();
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (at, value, says) in [
            ("/command", json!(["/bin/sh"]), "command: is for machines whose processes hc starts"),
            ("/files", json!({"/a": {"text": ""}}), "files"),
            ("/image", json!({"rootfs": "/r"}), "image.rootfs"),
            ("/image", json!({"disk": "/d"}), "q35.media: is what an empty disk"),
            ("/ready", json!({"when": "notify"}), "use \"tcp\""),
            ("/limits", json!({"memory": 1 << 30}), "use q35.memory"),
            ("/q35", Value::Null, "is missing"),
            ("/q35/memory", json!(5), "whole mebibytes"),
            ("/q35/diskSize", json!(5), "whole sectors"),
            ("/q35/diskSize", Value::Null, "no image to go by"),
            ("/q35/media", json!([]), "needs Windows' ISO"),
            ("/q35/cloudInit", json!({}), "choose one"),
            ("/q35/windows/edition", json!(0), "at least 1"),
            ("/name", json!("a-name-of-16-let"), "15 characters"),
        ] {
            let message = parse(|spec| {
                let (parent, key) = at.rsplit_once('/').unwrap();
                spec.pointer_mut(parent).unwrap()[key] = value;
            });
            let message = message.expect_err(at);
            assert!(message.contains(says), "{at}: {message}");
        }
    }
}
