//! What only virtual machines have.

use crate::machine::{Isolation, Kind, MachineSpec};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The least memory with which a kernel and its initrd come up, in bytes.
pub const LEAST_MEMORY: u64 = 64 << 20;
/// The smallest file system for what is written, in bytes.
pub const LEAST_LAYER: u64 = 32 << 20;
/// The most volumes: so many disks has the computer room for.
pub const MOST_VOLUMES: usize = 8;
/// The most virtual processors.
pub const MOST_VCPUS: u32 = 255;

/// The virtual computer that a machine is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Vm {
    /// ELF file in the store with a PVH entry.
    pub kernel: PathBuf,
    /// cpio archive in the store with hc's `/init`, and the modules of this kernel.
    pub initrd: PathBuf,
    /// Bytes of memory, whole mebibytes.
    pub memory: u64,
    /// Virtual processors.
    pub vcpus: u32,
    /// Bytes of the file system that keeps what is written. They take room when they are.
    pub layer_size: u64,
    /// Words on the kernel's command line besides hc's own.
    #[serde(default)]
    pub kernel_params: Vec<String>,
    /// Start from memory that was saved when its kernel had come up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resume: bool,
    /// Bytes of the memory that it may use when it has come up; all of it where that is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balloon: Option<u64>,
}

/// What is wrong with a file system of so many bytes for what a machine writes.
pub(crate) fn check_layer(size: u64) -> Result<(), String> {
    if size < LEAST_LAYER || !size.is_multiple_of(4096) {
        let least = LEAST_LAYER >> 20;
        return Err(format!("must be whole pages, at least {least} MiB"));
    }
    Ok(())
}

impl MachineSpec {
    /// Checks what depends on the kind of machine. The option at fault, and what is wrong.
    pub(crate) fn check_kind(&self) -> Result<(), (&'static str, String)> {
        let (vm, limits) = (self.vm.as_ref(), &self.limits);
        if self.kind == Kind::Q35 {
            return self.check_q35();
        }
        if self.q35.is_some() {
            return Err(("q35", "is for machines of that kind: take it out, or set kind".into()));
        }
        match (&self.image.rootfs, &self.image.disk) {
            (None, None) => {
                return Err(("image.rootfs", "is missing: what does the machine run from?".into()));
            }
            (_, Some(_)) if self.kind == Kind::Container => {
                return Err(("image.disk", "is what virtual machines run from".into()));
            }
            (Some(_), Some(_)) => {
                return Err(("image", "is a root file system or a disk, not both".into()));
            }
            _ => {}
        }
        let Kind::Microvm = self.kind else {
            return match vm {
                None => Ok(()),
                Some(_) => Err(("vm", "is for virtual machines: take it out, or set kind".into())),
            };
        };
        let Some(vm) = vm else {
            return Err(("vm", "is missing: a virtual machine needs a kernel".into()));
        };
        if self.isolation != Isolation::default() {
            return Err((
                "isolation",
                "is for containers: a virtual machine has its own kernel".into(),
            ));
        }
        if limits.memory.is_some() {
            return Err(("limits.memory", "is for containers: use vm.memory".into()));
        }
        if limits.pids.is_some() {
            return Err(("limits.pids", "is for containers: a virtual machine has its own".into()));
        }
        if limits.root_size.is_some() {
            return Err(("limits.rootSize", "is for containers: use vm.layerSize".into()));
        }
        let others =
            "is for containers: a virtual machine has its own kernel, and none of the host's ";
        let beside = "files; lay `files`, use `volumes`, or copy with `hc cp`";
        for (option, unused, what) in [
            ("binds", self.binds.is_empty(), beside),
            ("devices", self.devices.is_empty(), "devices"),
            ("limits.swap", limits.swap.is_none(), "swap"),
        ] {
            if !unused {
                return Err((option, format!("{others}{what}")));
            }
        }
        if self.volumes.len() > MOST_VOLUMES {
            return Err(("volumes", format!("a virtual machine has at most {MOST_VOLUMES}")));
        }
        if vm.memory < LEAST_MEMORY || vm.memory % (1 << 20) != 0 {
            let least = LEAST_MEMORY >> 20;
            return Err(("vm.memory", format!("must be whole mebibytes, at least {least}")));
        }
        if !(1..=MOST_VCPUS).contains(&vm.vcpus) {
            return Err(("vm.vcpus", format!("must be from 1 to {MOST_VCPUS}")));
        }
        check_layer(vm.layer_size).map_err(|problem| ("vm.layerSize", problem))?;
        if vm.balloon.is_some_and(|bytes| !(LEAST_MEMORY..=vm.memory).contains(&bytes)) {
            let least = LEAST_MEMORY >> 20;
            return Err((
                "vm.balloon",
                format!("must be at least {least} MiB, and no more than vm.memory"),
            ));
        }
        let word = |word: &String| {
            !word.is_empty()
                && word != "--"
                && !word.contains(|c: char| c.is_whitespace() || c == '\0')
        };
        match vm.kernel_params.iter().find(|text| !word(text)) {
            Some(text) => Err(("vm.kernelParams", format!("'{text}' is not one word"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(change: impl FnOnce(&mut serde_json::Value)) -> Result<MachineSpec, String> {
        let mut value = serde_json::json!({
            "schema": 1, "name": "db", "host": "demo", "cloud": "demo", "kind": "microvm",
            "image": {"rootfs": "/nix/store/x/rootfs.erofs"}, "command": ["/bin/true"],
            "vm": {"kernel": "/nix/store/k/vmlinux", "initrd": "/nix/store/i/initrd",
                   "memory": 268_435_456, "vcpus": 1, "layerSize": 8_589_934_592_u64},
        });
        change(&mut value);
        MachineSpec::from_json(value.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_microvm_is_read_back_as_it_was_written() {
        let spec = parse(|_| ()).unwrap();
        assert_eq!(spec.kind, Kind::Microvm);
        assert_eq!(MachineSpec::from_json(spec.to_json().as_bytes()).unwrap(), spec);
    }

    #[test]
    fn what_belongs_to_the_other_kind_is_refused() {
        for (key, value, says) in [
            ("isolation", serde_json::json!({"addCapabilities": ["NET_ADMIN"]}), "for containers"),
            ("limits", serde_json::json!({"memory": 1 << 30}), "use vm.memory"),
            ("limits", serde_json::json!({"pids": 5}), "limits.pids"),
            ("kind", "container".into(), "for virtual machines"),
            ("vm", serde_json::Value::Null, "needs a kernel"),
            ("devices", serde_json::json!({"/dev/fuse": {}}), "devices: is for containers"),
            (
                "binds",
                serde_json::json!({"/x": {"source": "/srv/x"}}),
                "binds: is for containers.*hc cp",
            ),
        ] {
            let message = parse(|spec| spec[key] = value).unwrap_err();
            let mut parts = says.split(".*");
            assert!(parts.all(|part| message.contains(part)), "{message}");
        }
        parse(|spec| spec["tmpfs"] = serde_json::json!({"/x": {}})).unwrap();
        let volumes = serde_json::json!({"a": {"path": "/x", "size": 1 << 30}});
        parse(|spec| spec["volumes"] = volumes).unwrap();
        parse(|spec| spec["limits"] = serde_json::json!({"cpus": 0.5})).unwrap();
        let asked = serde_json::json!({"when": "command", "command": ["x"]});
        parse(|spec| spec["ready"] = asked).unwrap();
        parse(|spec| spec["health"] = serde_json::json!({"port": 80, "path": "/"})).unwrap();
    }

    #[test]
    fn it_runs_from_a_root_file_system_or_a_disk() {
        let disk = serde_json::json!({"disk": "/nix/store/d/disk.raw"});
        let spec = parse(|spec| {
            spec["image"] = disk.clone();
            spec["command"] = serde_json::json!([]);
        });
        assert!(spec.unwrap().is_init(), "what is on the disk decides");
        let spec = parse(|spec| spec["image"] = disk.clone()).unwrap();
        assert!(!spec.is_init(), "or what is asked for");
        for (change, says) in [
            (serde_json::json!({"image": {"rootfs": "/r", "disk": "/d"}}), "not both"),
            (serde_json::json!({"image": {}}), "is missing"),
            (
                serde_json::json!({"image": disk, "kind": "container", "vm": null}),
                "virtual machines",
            ),
        ] {
            let message = parse(|spec| {
                for (key, value) in change.as_object().unwrap() {
                    spec[key] = value.clone();
                }
            });
            let message = message.unwrap_err();
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn sizes_and_words_make_sense() {
        for (key, value, says) in [
            ("memory", serde_json::json!(1 << 20), "at least 64"),
            ("memory", serde_json::json!((1 << 28) + 1), "whole mebibytes"),
            ("vcpus", 0.into(), "from 1"),
            ("layerSize", 4096.into(), "at least 32 MiB"),
            ("kernelParams", serde_json::json!(["a b"]), "not one word"),
            ("kernelParams", serde_json::json!(["--"]), "not one word"),
        ] {
            let message = parse(|spec| spec["vm"][key] = value).unwrap_err();
            assert!(message.contains(says), "{message}");
        }
        parse(|spec| spec["vm"]["kernelParams"] = serde_json::json!(["mitigations=off"])).unwrap();
    }
}
