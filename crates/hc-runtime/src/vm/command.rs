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

/// As above: the memory, where it is a file.
pub(super) const RAM: &str = "/ram";

/// Where the guest's memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    /// QEMU's own.
    Plain,
    /// The file [`RAM`], so that it can be copied.
    Kept,
    /// A private copy of the file [`RAM`], as pages are written to. What the devices are is read from
    /// the descriptor.
    Copied(RawFd),
    /// QEMU's own, and what is in it comes from another that runs, of the same kind.
    Sent(Block),
}

/// What QEMU calls the memory, which both ends of a migration have to agree about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Block {
    /// The machine type's own name.
    Usual,
    /// That of a file, or of what began as one.
    Ram,
}

impl Memory {
    /// What it is called.
    pub fn block(self) -> Block {
        match self {
            Self::Plain => Block::Usual,
            Self::Kept | Self::Copied(_) => Block::Ram,
            Self::Sent(block) => block,
        }
    }
}

/// A disk that is written to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written<F> {
    pub file: F,
    /// The image below, where the file is a qcow2 overlay over it; else it is raw.
    pub below: Option<F>,
    /// The root is on it, and not a layer over another disk.
    pub is_root: bool,
}

/// A computer to be made, by the numbers that its descriptors will have in QEMU.
#[derive(Debug)]
pub(super) struct Computer<'a> {
    pub accelerator: &'a Accelerator,
    /// Bytes, whole mebibytes.
    pub size: u64,
    pub memory: Memory,
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
    pub layer: Option<Written<RawFd>>,
    /// Disks that outlive it, and whether they can only be read.
    pub volumes: &'a [(RawFd, bool)],
    pub taps: &'a [(RawFd, Mac)],
    /// Words on the kernel's command line.
    pub words: &'a [String],
}

/// Bytes of translated code that are kept without hardware virtualisation.
pub(super) const TRANSLATED: u64 = 128 << 20;

/// The first set of descriptors that is a volume's.
const FIRST_VOLUME: usize = 16;

/// What a volume's disk is called in QEMU, and by its serial number in the guest.
pub(super) fn volume(index: usize) -> String {
    format!("volume{index}")
}

impl Computer<'_> {
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> = Vec::with_capacity(64);
        let mut add =
            |words: &[&str]| arguments.extend(words.iter().map(|word| (*word).to_owned()));
        add(&["-nodefaults", "-no-user-config", "-nographic", "-no-reboot"]);
        let size = self.size >> 20;
        let backend = format!("memory-backend-file,id=ram,size={size}M,mem-path={RAM}");
        let (machine, reports) = match self.memory.block() {
            Block::Usual => ("microvm,pic=off,pit=off", "on"),
            // Pages of a file are not given back one by one.
            Block::Ram => ("microvm,pic=off,pit=off,memory-backend=ram", "off"),
        };
        add(&["-M", machine, "-bios", "qboot.rom"]);
        match self.memory {
            Memory::Plain => {}
            Memory::Kept => add(&["-object", &format!("{backend},share=on")]),
            Memory::Copied(state) => {
                add(&["-object", &format!("{backend},share=off,readonly=on,rom=off")]);
                add(&["-add-fd", &format!("fd={state},set=3"), "-incoming", "defer"]);
            }
            Memory::Sent(block) => {
                if block == Block::Ram {
                    add(&["-object", &format!("memory-backend-ram,id=ram,size={size}M")]);
                }
                add(&["-incoming", "defer"]);
            }
        }
        match (self.accelerator.kind, self.kvm) {
            (Kind::Kvm, Some(kvm)) => {
                add(&["-add-fd", &format!("fd={kvm},set=1")]);
                add(&["-accel", "kvm,device=/dev/fdset/1", "-cpu", "host"]);
            }
            _ => {
                add(&["-accel", &format!("tcg,tb-size={}", TRANSLATED >> 20), "-cpu", "max"]);
            }
        }
        add(&["-m", &format!("{size}M"), "-smp", &self.vcpus.to_string()]);
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
        if let Some(Written { file, below, is_root }) = self.layer {
            add(&["-add-fd", &format!("fd={file},set=2")]);
            let file = "file.driver=file,file.filename=/dev/fdset/2,file.discard=unmap";
            let zeros = "discard=unmap,detect-zeroes=unmap";
            let driver = if let Some(image) = below {
                add(&["-add-fd", &format!("fd={image},set=4")]);
                let image = "file.driver=file,file.filename=/dev/fdset/4,file.read-only=on";
                add(&["-blockdev", &format!("driver=raw,node-name=image,read-only=on,{image}")]);
                "driver=qcow2,backing=image"
            } else {
                "driver=raw"
            };
            add(&["-blockdev", &format!("{driver},node-name=layer,{zeros},{file}")]);
            let serial = if is_root { "root" } else { "layer" };
            add(&["-device", &format!("virtio-blk-device,drive=layer,serial={serial}")]);
        }
        for (index, (fd, read_only)) in self.volumes.iter().enumerate() {
            let (name, set) = (volume(index), FIRST_VOLUME + index);
            add(&["-add-fd", &format!("fd={fd},set={set}")]);
            let only = if *read_only { ",read-only=on" } else { "" };
            let file = if *read_only { ",file.read-only=on" } else { "" };
            let file =
                format!("file.driver=file,file.filename=/dev/fdset/{set},file.discard=unmap{file}");
            let zeros = "discard=unmap,detect-zeroes=unmap";
            add(&["-blockdev", &format!("driver=raw,node-name={name}{only},{zeros},{file}")]);
            add(&["-device", &format!("virtio-blk-device,drive={name},serial={name}")]);
        }
        for (index, (tap, mac)) in self.taps.iter().enumerate() {
            add(&["-netdev", &format!("tap,id=net{index},fd={tap}")]);
            add(&["-device", &format!("virtio-net-device,netdev=net{index},mac={mac}")]);
        }
        add(&["-device", "virtio-rng-device"]);
        let balloon =
            format!("virtio-balloon-device,free-page-reporting={reports},deflate-on-oom=on");
        add(&["-device", &balloon]);
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
            size: 512 << 20,
            memory: Memory::Plain,
            vcpus: 2,
            kvm: None,
            qmp: 3,
            console: 4,
            guest: 5,
            has_root: true,
            layer: Some(Written { file: 6, below: None, is_root: false }),
            volumes: &[(10, false), (11, true)],
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
        -add-fd fd=10,set=16
        -blockdev driver=raw,node-name=volume0,discard=unmap,detect-zeroes=unmap,file.driver=file,file.filename=/dev/fdset/16,file.discard=unmap
        -device virtio-blk-device,drive=volume0,serial=volume0
        -add-fd fd=11,set=17
        -blockdev driver=raw,node-name=volume1,read-only=on,discard=unmap,detect-zeroes=unmap,file.driver=file,file.filename=/dev/fdset/17,file.discard=unmap,file.read-only=on
        -device virtio-blk-device,drive=volume1,serial=volume1
        -netdev tap,id=net0,fd=7
        -device virtio-net-device,netdev=net0,mac=02:00:00:00:00:01
        -device virtio-rng-device
        -device virtio-balloon-device,free-page-reporting=on,deflate-on-oom=on
        -kernel /kernel
        -initrd /initrd
        -append console=ttyS0 quiet
        ");
        computer.layer = Some(Written { file: 6, below: Some(10), is_root: true });
        let text = computer.arguments().join(" ");
        assert!(text.contains("-blockdev driver=qcow2,backing=image,node-name=layer"), "{text}");
        assert!(text.contains("drive=layer,serial=root"), "{text}");
        computer.memory = Memory::Copied(9);
        let text = computer.arguments().join(" ");
        assert!(
            text.contains(
                "mem-path=/ram,share=off,readonly=on,rom=off -add-fd fd=9,set=3 -incoming"
            )
        );
        assert!(text.contains("free-page-reporting=off"));
        // A fork has the devices of what it is a fork of.
        let devices = |text: &str| text.split(" -sandbox").nth(1).map(str::to_owned);
        let copied = devices(&text);
        computer.memory = Memory::Sent(Block::Ram);
        let text = computer.arguments().join(" ");
        assert!(text.contains("-object memory-backend-ram,id=ram,size=512M -incoming defer"));
        assert_eq!(devices(&text), copied);
        computer.memory = Memory::Sent(Block::Usual);
        let text = computer.arguments().join(" ");
        assert!(text.contains("-incoming defer") && !text.contains("memory-backend"), "{text}");
        let accelerator = Accelerator::of(Kind::Kvm);
        (computer.accelerator, computer.kvm) = (&accelerator, Some(8));
        let text = computer.arguments().join(" ");
        assert!(
            text.contains("-add-fd fd=8,set=1 -accel kvm,device=/dev/fdset/1 -cpu host"),
            "{text}"
        );
    }
}
