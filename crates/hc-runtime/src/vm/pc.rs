//! QEMU's command line for a PC with firmware.

use super::accelerator::{Accelerator, Kind};
use super::command::TRANSLATED;
use hc_spec::addr::Mac;
use std::os::fd::RawFd;

/// A PC to be made, by the numbers that its descriptors will have in QEMU.
#[derive(Debug)]
pub(super) struct Pc<'a> {
    pub accelerator: &'a Accelerator,
    /// Bytes, whole mebibytes.
    pub memory: u64,
    pub vcpus: u32,
    /// `/dev/kvm`, with that accelerator.
    pub kvm: Option<RawFd>,
    pub qmp: RawFd,
    /// The first serial port.
    pub console: RawFd,
    /// The firmware guards its variables by system management mode.
    pub guarded: bool,
    /// The firmware, and its variables.
    pub firmware: RawFd,
    /// As above.
    pub variables: RawFd,
    /// Control channel of a software TPM.
    pub tpm: Option<RawFd>,
    /// Its disk, raw, or a qcow2 overlay over `image`.
    pub disk: RawFd,
    /// The image below an overlay.
    pub image: Option<RawFd>,
    /// Who it is, as a disk: kernels for clouds see no CD.
    pub seed: Option<RawFd>,
    /// CDs, in the order in which they are started from.
    pub cds: &'a [RawFd],
    pub taps: &'a [(RawFd, Mac)],
}

impl Pc<'_> {
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> = Vec::with_capacity(80);
        let mut add =
            |words: &[&str]| arguments.extend(words.iter().map(|word| (*word).to_owned()));
        let smm = if self.guarded { "on" } else { "off" };
        add(&["-nodefaults", "-no-user-config", "-M", &format!("q35,smm={smm},vmport=off")]);
        match (self.accelerator.kind, self.kvm) {
            (Kind::Kvm, Some(kvm)) => {
                add(&["-add-fd", &format!("fd={kvm},set=1")]);
                // What Windows asks of a hypervisor.
                let enlightened = "hv-passthrough";
                add(&["-accel", "kvm,device=/dev/fdset/1", "-cpu", &format!("host,{enlightened}")]);
            }
            _ => add(&["-accel", &format!("tcg,tb-size={}", TRANSLATED >> 20), "-cpu", "max"]),
        }
        add(&["-m", &format!("{}M", self.memory >> 20), "-smp", &self.vcpus.to_string()]);
        add(&[
            "-sandbox",
            "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        ]);
        for (name, fd) in [("qmp", self.qmp), ("console", self.console)] {
            add(&["-chardev", &format!("socket,id={name},fd={fd}")]);
        }
        add(&["-mon", "chardev=qmp,mode=control", "-serial", "chardev:console"]);
        add(&["-rtc", "base=utc,driftfix=slew"]);
        if self.guarded {
            add(&["-global", "driver=cfi.pflash01,property=secure,value=on"]);
            add(&["-global", "ICH9-LPC.disable_s3=1"]);
        }
        let mut sets = 1;
        // A descriptor as a node of that name; the format above it.
        let mut node = |add: &mut dyn FnMut(&[&str]), fd: RawFd, format: &str, writes: bool| {
            sets += 1;
            let only = if writes { "" } else { ",read-only=on" };
            let file = format!("file.driver=file,file.filename=/dev/fdset/{sets}");
            let file = if writes {
                format!("{file},file.discard=unmap")
            } else {
                format!("{file},file.read-only=on")
            };
            add(&["-add-fd", &format!("fd={fd},set={sets}")]);
            add(&["-blockdev", &format!("{format}{only},{file}")]);
        };
        node(&mut add, self.firmware, "driver=raw,node-name=code", false);
        node(&mut add, self.variables, "driver=raw,node-name=nvram", true);
        add(&["-machine", "pflash0=code,pflash1=nvram"]);
        if let Some(tpm) = self.tpm {
            add(&["-chardev", &format!("socket,id=tpm,fd={tpm}")]);
            add(&["-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0"]);
        }
        let discard = "discard=unmap,detect-zeroes=unmap";
        let format = match self.image {
            None => "driver=raw",
            Some(image) => {
                node(&mut add, image, "driver=raw,node-name=image", false);
                "driver=qcow2,backing=image"
            }
        };
        node(&mut add, self.disk, &format!("{format},node-name=disk,{discard}"), true);
        add(&["-device", "virtio-blk-pci,drive=disk,serial=disk,bootindex=0"]);
        if let Some(seed) = self.seed {
            node(&mut add, seed, "driver=raw,node-name=seed", false);
            add(&["-device", "virtio-blk-pci,drive=seed,serial=seed"]);
        }
        if !self.cds.is_empty() {
            add(&["-device", "ahci,id=cds"]);
        }
        for (index, fd) in self.cds.iter().enumerate() {
            node(&mut add, *fd, &format!("driver=raw,node-name=cd{index}"), false);
            let boot = index + 1;
            add(&["-device", &format!("ide-cd,bus=cds.{index},drive=cd{index},bootindex={boot}")]);
        }
        for (index, (tap, mac)) in self.taps.iter().enumerate() {
            add(&["-netdev", &format!("tap,id=net{index},fd={tap}")]);
            add(&["-device", &format!("virtio-net-pci,netdev=net{index},mac={mac},romfile=")]);
        }
        add(&["-device", "virtio-rng-pci", "-device", "virtio-balloon-pci,deflate-on-oom=on"]);
        // Whoever looks is handed over by the supervisor: QEMU listens nowhere.
        add(&["-device", "virtio-vga", "-display", "none", "-vnc", "none"]);
        add(&["-device", "qemu-xhci", "-device", "usb-tablet"]);
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_files_of_the_store_is_a_descriptor() {
        let accelerator = Accelerator::of(Kind::Tcg);
        let mut pc = Pc {
            accelerator: &accelerator,
            memory: 512 << 20,
            vcpus: 2,
            kvm: None,
            qmp: 3,
            console: 4,
            guarded: true,
            firmware: 5,
            variables: 6,
            tpm: Some(7),
            disk: 8,
            image: None,
            seed: Some(9),
            cds: &[10, 13],
            taps: &[(11, Mac([2, 0, 0, 0, 0, 1]))],
        };
        insta::assert_snapshot!(pc.arguments().join("\n"), @"");
        (pc.image, pc.cds) = (Some(12), &[]);
        let text = pc.arguments().join(" ");
        let image = "-add-fd fd=12,set=4 -blockdev driver=raw,node-name=image,read-only=on";
        assert!(text.contains(image), "{text}");
        assert!(text.contains("driver=qcow2,backing=image,node-name=disk"), "{text}");
        assert!(!text.contains("ahci"), "{text}");
    }
}
