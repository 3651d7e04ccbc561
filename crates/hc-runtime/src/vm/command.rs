//! QEMU's command line, out of what the machine is.

use super::accelerator::{Accelerator, Kind};
use hc_spec::addr::Mac;
use std::os::fd::RawFd;

/// Names of the files that QEMU opens, in its own root.
pub(super) const KERNEL: &str = "/kernel";
/// As above.
pub(super) const INITRD: &str = "/initrd";
/// As above.
pub(super) const ROOTFS: &str = "/rootfs";

/// A computer to be made, by the numbers that its descriptors will have in QEMU.
#[derive(Debug)]
pub(super) struct Computer<'a> {
    pub accelerator: &'a Accelerator,
    /// Bytes, whole mebibytes.
    pub memory: u64,
    pub vcpus: u32,
    /// `/dev/kvm`, with that accelerator.
    pub kvm: Option<RawFd>,
    pub qmp: RawFd,
    /// The serial console.
    pub console: RawFd,
    /// The port `hc.guest`.
    pub guest: RawFd,
    /// Whether there is a root file system at [`ROOTFS`].
    pub has_root: bool,
    /// The disk that keeps what is written.
    pub layer: Option<RawFd>,
    pub taps: &'a [(RawFd, Mac)],
    /// Words on the kernel's command line.
    pub words: &'a [String],
}

/// Bytes of translated code that are kept without hardware virtualisation.
pub(super) const TRANSLATED: u64 = 128 << 20;

impl Computer<'_> {
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> = Vec::with_capacity(64);
        let mut add =
            |words: &[&str]| arguments.extend(words.iter().map(|word| (*word).to_owned()));
        add(&["-nodefaults", "-no-user-config", "-nographic", "-no-reboot"]);
        add(&["-M", "microvm,pic=off,pit=off", "-bios", "qboot.rom"]);
        match (self.accelerator.kind, self.kvm) {
            (Kind::Kvm, Some(kvm)) => {
                add(&["-add-fd", &format!("fd={kvm},set=1")]);
                add(&["-accel", "kvm,device=/dev/fdset/1", "-cpu", "host"]);
            }
            _ => {
                add(&["-accel", &format!("tcg,tb-size={}", TRANSLATED >> 20), "-cpu", "max"]);
            }
        }
        add(&["-m", &format!("{}M", self.memory >> 20), "-smp", &self.vcpus.to_string()]);
        add(&[
            "-sandbox",
            "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        ]);
        for (name, fd) in [("qmp", self.qmp), ("console", self.console), ("guest", self.guest)] {
            add(&["-chardev", &format!("socket,id={name},fd={fd}")]);
        }
        add(&["-mon", "chardev=qmp,mode=control", "-serial", "chardev:console"]);
        add(&["-device", "virtio-serial-device"]);
        add(&["-device", "virtserialport,chardev=guest,name=hc.guest"]);
        if self.has_root {
            let file = format!("file.driver=file,file.filename={ROOTFS},file.read-only=on");
            add(&["-blockdev", &format!("driver=raw,node-name=root,read-only=on,{file}")]);
            add(&["-device", "virtio-blk-device,drive=root,serial=root"]);
        }
        if let Some(layer) = self.layer {
            add(&["-add-fd", &format!("fd={layer},set=2")]);
            let file = "file.driver=file,file.filename=/dev/fdset/2,file.discard=unmap";
            let zeros = "discard=unmap,detect-zeroes=unmap";
            add(&["-blockdev", &format!("driver=raw,node-name=layer,{zeros},{file}")]);
            add(&["-device", "virtio-blk-device,drive=layer,serial=layer"]);
        }
        for (index, (tap, mac)) in self.taps.iter().enumerate() {
            add(&["-netdev", &format!("tap,id=net{index},fd={tap}")]);
            add(&["-device", &format!("virtio-net-device,netdev=net{index},mac={mac}")]);
        }
        add(&["-device", "virtio-rng-device"]);
        add(&["-device", "virtio-balloon-device,free-page-reporting=on,deflate-on-oom=on"]);
        add(&["-kernel", KERNEL, "-initrd", INITRD, "-append", &self.words.join(" ")]);
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_files_of_the_store_is_a_descriptor() {
        let accelerator = Accelerator::of(Kind::Tcg);
        let words = ["console=ttyS0", "quiet"].map(String::from);
        let mut computer = Computer {
            accelerator: &accelerator,
            memory: 512 << 20,
            vcpus: 2,
            kvm: None,
            qmp: 3,
            console: 4,
            guest: 5,
            has_root: true,
            layer: Some(6),
            taps: &[(7, Mac([2, 0, 0, 0, 0, 1]))],
            words: &words,
        };
        let text = computer.arguments().join(" ").replace(" -", "\n-");
        insta::assert_snapshot!(text, @r"
        -nodefaults
        -no-user-config
        -nographic
        -no-reboot
        -M microvm,pic=off,pit=off
        -bios qboot.rom
        -accel tcg,tb-size=128
        -cpu max
        -m 512M
        -smp 2
        -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
        -chardev socket,id=qmp,fd=3
        -chardev socket,id=console,fd=4
        -chardev socket,id=guest,fd=5
        -mon chardev=qmp,mode=control
        -serial chardev:console
        -device virtio-serial-device
        -device virtserialport,chardev=guest,name=hc.guest
        -blockdev driver=raw,node-name=root,read-only=on,file.driver=file,file.filename=/rootfs,file.read-only=on
        -device virtio-blk-device,drive=root,serial=root
        -add-fd fd=6,set=2
        -blockdev driver=raw,node-name=layer,discard=unmap,detect-zeroes=unmap,file.driver=file,file.filename=/dev/fdset/2,file.discard=unmap
        -device virtio-blk-device,drive=layer,serial=layer
        -netdev tap,id=net0,fd=7
        -device virtio-net-device,netdev=net0,mac=02:00:00:00:00:01
        -device virtio-rng-device
        -device virtio-balloon-device,free-page-reporting=on,deflate-on-oom=on
        -kernel /kernel
        -initrd /initrd
        -append console=ttyS0 quiet
        ");
        let accelerator = Accelerator::of(Kind::Kvm);
        (computer.accelerator, computer.kvm) = (&accelerator, Some(8));
        let text = computer.arguments().join(" ");
        assert!(
            text.contains("-add-fd fd=8,set=1 -accel kvm,device=/dev/fdset/1 -cpu host"),
            "{text}"
        );
    }
}
