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
        insta::assert_snapshot!(pc.arguments().join("\n"), @r"
        -nodefaults
        -no-user-config
        -M
        q35,smm=on,vmport=off
        -accel
        tcg,tb-size=128
        -cpu
        max
        -m
        512M
        -smp
        2
        -sandbox
        on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
        -chardev
        socket,id=qmp,fd=3
        -chardev
        socket,id=console,fd=4
        -mon
        chardev=qmp,mode=control
        -serial
        chardev:console
        -rtc
        base=utc,driftfix=slew
        -global
        driver=cfi.pflash01,property=secure,value=on
        -global
        ICH9-LPC.disable_s3=1
        -add-fd
        fd=5,set=2
        -blockdev
        driver=raw,node-name=code,read-only=on,file.driver=file,file.filename=/dev/fdset/2,file.read-only=on
        -add-fd
        fd=6,set=3
        -blockdev
        driver=raw,node-name=nvram,file.driver=file,file.filename=/dev/fdset/3,file.discard=unmap
        -machine
        pflash0=code,pflash1=nvram
        -chardev
        socket,id=tpm,fd=7
        -tpmdev
        emulator,id=tpm0,chardev=tpm
        -device
        tpm-crb,tpmdev=tpm0
        -add-fd
        fd=8,set=4
        -blockdev
        driver=raw,node-name=disk,discard=unmap,detect-zeroes=unmap,file.driver=file,file.filename=/dev/fdset/4,file.discard=unmap
        -device
        virtio-blk-pci,drive=disk,serial=disk,bootindex=0
        -add-fd
        fd=9,set=5
        -blockdev
        driver=raw,node-name=seed,read-only=on,file.driver=file,file.filename=/dev/fdset/5,file.read-only=on
        -device
        virtio-blk-pci,drive=seed,serial=seed
        -device
        ahci,id=cds
        -add-fd
        fd=10,set=6
        -blockdev
        driver=raw,node-name=cd0,read-only=on,file.driver=file,file.filename=/dev/fdset/6,file.read-only=on
        -device
        ide-cd,bus=cds.0,drive=cd0,bootindex=1
        -add-fd
        fd=13,set=7
        -blockdev
        driver=raw,node-name=cd1,read-only=on,file.driver=file,file.filename=/dev/fdset/7,file.read-only=on
        -device
        ide-cd,bus=cds.1,drive=cd1,bootindex=2
        -netdev
        tap,id=net0,fd=11
        -device
        virtio-net-pci,netdev=net0,mac=02:00:00:00:00:01,romfile=
        -device
        virtio-rng-pci
        -device
        virtio-balloon-pci,deflate-on-oom=on
        -device
        virtio-vga
        -display
        none
        -vnc
        none
        -device
        qemu-xhci
        -device
        usb-tablet
        ");
        (pc.image, pc.cds) = (Some(12), &[]);
        let text = pc.arguments().join(" ");
        let image = "-add-fd fd=12,set=4 -blockdev driver=raw,node-name=image,read-only=on";
        assert!(text.contains(image), "{text}");
        assert!(text.contains("driver=qcow2,backing=image,node-name=disk"), "{text}");
        assert!(!text.contains("ahci"), "{text}");
    }
}
