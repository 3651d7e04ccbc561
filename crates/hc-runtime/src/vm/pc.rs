//! QEMU's command line for a PC with firmware.

use super::accelerator::{Accelerator, Kind};
use super::command::TRANSLATED;
use hc_spec::addr::Mac;
use std::os::fd::RawFd;

/// Name of the firmware in QEMU's own root.
pub(super) const FIRMWARE: &str = "/firmware";

/// The name of a CD in QEMU's own root.
pub(super) fn cd(index: usize) -> String {
    format!("/cd{index}")
}

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
    /// The firmware's variables.
    pub variables: RawFd,
    /// Control channel of a software TPM.
    pub tpm: Option<RawFd>,
    /// Its disk, and the format of that: `raw`, or `qcow2` over the file that follows.
    pub disk: (RawFd, DiskFormat<'a>),
    /// How many CDs there are, each at the place [`cd`] says.
    pub cds: usize,
    pub taps: &'a [(RawFd, Mac)],
}

/// What a disk's descriptor holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum DiskFormat<'a> {
    Raw,
    /// An overlay, and where the image below it is in QEMU's own root.
    Qcow2(&'a str),
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
        add(&["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]);
        for (name, fd) in [("qmp", self.qmp), ("console", self.console)] {
            add(&["-chardev", &format!("socket,id={name},fd={fd}")]);
        }
        add(&["-mon", "chardev=qmp,mode=control", "-serial", "chardev:console"]);
        add(&["-rtc", "base=utc,driftfix=slew"]);
        if self.guarded {
            add(&["-global", "driver=cfi.pflash01,property=secure,value=on"]);
            add(&["-global", "ICH9-LPC.disable_s3=1"]);
        }
        let code = format!("file.driver=file,file.filename={FIRMWARE},file.read-only=on");
        add(&["-blockdev", &format!("driver=raw,node-name=code,read-only=on,{code}")]);
        add(&["-add-fd", &format!("fd={},set=2", self.variables)]);
        let variables = "file.driver=file,file.filename=/dev/fdset/2";
        add(&["-blockdev", &format!("driver=raw,node-name=nvram,{variables}")]);
        add(&["-machine", "pflash0=code,pflash1=nvram"]);
        if let Some(tpm) = self.tpm {
            add(&["-chardev", &format!("socket,id=tpm,fd={tpm}")]);
            add(&["-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0"]);
        }
        add(&["-add-fd", &format!("fd={},set=3", self.disk.0)]);
        let discard = "discard=unmap,detect-zeroes=unmap";
        let file = "file.driver=file,file.filename=/dev/fdset/3,file.discard=unmap";
        match self.disk.1 {
            DiskFormat::Raw => add(&["-blockdev", &format!("driver=raw,node-name=disk,{discard},{file}")]),
            DiskFormat::Qcow2(below) => {
                let lower = format!("file.driver=file,file.filename={below},file.read-only=on");
                add(&["-blockdev", &format!("driver=raw,node-name=image,read-only=on,{lower}")]);
                add(&["-blockdev", &format!("driver=qcow2,node-name=disk,backing=image,{discard},{file}")]);
            }
        }
        add(&["-device", "virtio-blk-pci,drive=disk,serial=disk,bootindex=0"]);
        if self.cds > 0 {
            add(&["-device", "ahci,id=ahci"]);
        }
        for index in 0..self.cds {
            let file = format!("file.driver=file,file.filename={},file.read-only=on", cd(index));
            add(&["-blockdev", &format!("driver=raw,node-name=cd{index},read-only=on,{file}")]);
            let boot = index + 1;
            add(&["-device", &format!("ide-cd,bus=ahci.{index},drive=cd{index},bootindex={boot}")]);
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
            variables: 5,
            tpm: Some(6),
            disk: (7, DiskFormat::Raw),
            cds: 2,
            taps: &[(8, Mac([2, 0, 0, 0, 0, 1]))],
        };
        insta::assert_snapshot!(pc.arguments().join("\n"), @"");
        pc.disk = (7, DiskFormat::Qcow2("/image"));
        let text = pc.arguments().join(" ");
        assert!(text.contains("node-name=image,read-only=on"), "{text}");
        assert!(text.contains("driver=qcow2,node-name=disk,backing=image"), "{text}");
    }
}
