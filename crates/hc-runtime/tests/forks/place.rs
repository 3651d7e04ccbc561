//! A file system and a store of its own for each test.

use hc_runtime::base::{Bases, ImageFile};
use hc_runtime::disk::{Disk, Disks, Request};
use hc_spec::Name;
use std::cell::{Cell, RefCell};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub const MIB: u64 = 1 << 20;

/// A mounted file system with the state directory, and a store there or elsewhere.
pub struct Place {
    pub state: PathBuf,
    pub root: PathBuf,
    /// Links that the store was told of.
    pub kept: RefCell<Vec<PathBuf>>,
    /// How many copies were made.
    pub copies: Cell<usize>,
    /// What is there is on the host's file system.
    pub elsewhere: PathBuf,
}

/// Runs a test with a new file system mounted; `mkfs` and its arguments make it.
pub fn on(mkfs: &[&str], mib: u64, test: impl FnOnce(Place) + Send) {
    std::thread::scope(|scope| {
        let tested = scope.spawn(|| {
            use rustix::mount::MountPropagationFlags as Propagation;
            use rustix::thread::UnshareFlags;
            // SAFETY: only this thread's view of mounts and directories changes.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS) }
                .unwrap();
            rustix::mount::mount_change("/", Propagation::PRIVATE | Propagation::REC).unwrap();
            // It goes when nothing is mounted in it any more.
            let dir = tempfile::tempdir().unwrap();
            let elsewhere = dir.path().to_owned();
            let (device, at) = (elsewhere.join("device"), elsewhere.join("mounted"));
            std::fs::create_dir(&at).unwrap();
            std::fs::File::create(&device).unwrap().set_len(mib * MIB).unwrap();
            run(Command::new(mkfs[0]).args(&mkfs[1..]).arg(&device));
            run(Command::new("mount").args(["-o", "loop"]).args([&device, &at]));
            let place = Place {
                state: at.join("state"),
                root: elsewhere.join("root"),
                kept: RefCell::default(),
                copies: Cell::new(0),
                elsewhere,
            };
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(place)));
            run(Command::new("umount").arg("--lazy").arg(&at));
            if let Err(panic) = ended {
                std::panic::resume_unwind(panic);
            }
        });
        if let Err(panic) = tested.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

impl Place {
    /// The store on the same file system as the state.
    pub fn together(mut self) -> Self {
        self.root = self.state.join("../root");
        self
    }

    /// Puts an image into the store: `mib` of data in four places, and as much of nothing after
    /// each.
    pub fn image(&self, what: &str, mib: u64) -> ImageFile {
        let logical = PathBuf::from(format!("/nix/store/{:0>32}-{what}/disk.raw", mib));
        let image = ImageFile::new(&logical, Some(&self.root)).unwrap();
        std::fs::create_dir_all(image.physical.parent().unwrap()).unwrap();
        let file = std::fs::File::create(&image.physical).unwrap();
        file.set_len(2 * mib * MIB).unwrap();
        let data: Vec<u8> = (0..MIB / 4).map(|i| (i % 251) as u8 + what.len() as u8).collect();
        for at in 0..mib {
            for quarter in 0..4 {
                let part = at / (mib / 4).max(1);
                file.write_all_at(&data, (at + part * (mib / 4)) * MIB + quarter * MIB / 4)
                    .unwrap();
            }
        }
        file.sync_all().unwrap();
        image
    }

    /// An image of a root file system with one of everything in it; and the tree it is of.
    pub fn root_image(&self) -> (ImageFile, PathBuf) {
        let tree = self.elsewhere.join("tree");
        let logical = format!("/nix/store/{:0>32}-root/rootfs.erofs", 1);
        let image = ImageFile::new(Path::new(&logical), Some(&self.root)).unwrap();
        std::fs::create_dir_all(image.physical.parent().unwrap()).unwrap();
        let script = "mkdir -p dir/deep empty && chmod 1777 empty && echo text >dir/file && \
            ln dir/file dir/deep/linked && ln -s ../file dir/deep/link && ln -s /nowhere dangling && \
            mknod null c 1 3 && mknod fifo p && head -c 300000 /dev/urandom >large && \
            truncate -s 900000 large && cp /bin/true setuid && chown 7:8 setuid dir/deep && \
            chmod 6755 setuid && setfattr -n user.note -v kept dir/file && \
            setfattr -n trusted.of -v dir dir && setcap cap_net_raw+ep large && chown -h 5:6 dangling && \
            touch -h -d @1234567890.123456789 dir/file dangling && chmod 0 large && touch 'odd name'";
        std::fs::create_dir(&tree).unwrap();
        run(Command::new("sh").args(["-ec", script]).current_dir(&tree));
        run(Command::new("mkfs.erofs").args(["--quiet", "-x1"]).args([&image.physical, &tree]));
        (image, tree)
    }

    /// The state as it was before anything.
    pub fn clear(&self) {
        for base in self.bases().list().unwrap() {
            self.bases().collect(&|image| image != base.image, false).unwrap();
        }
        hc_fs::tree::remove(&self.state).unwrap();
    }

    pub fn disks(&self) -> Disks {
        Disks::new(&self.state)
    }

    pub fn bases(&self) -> Bases {
        Bases::new(&self.state)
    }

    pub fn fork(&self, image: &ImageFile, machine: &str) -> Result<Disk, String> {
        self.fork_with(&Request {
            machine: &name(machine),
            disk: &name("root"),
            image,
            size: None,
            replace: false,
        })
    }

    pub fn fork_with(&self, request: &Request<'_>) -> Result<Disk, String> {
        let keep = |link: &Path| {
            self.kept.borrow_mut().push(std::fs::read_link(link)?);
            Ok(())
        };
        let watch = |copying: hc_runtime::base::Copying<'_>| {
            if copying.done == copying.total {
                self.copies.set(self.copies.get() + 1);
            }
        };
        self.disks().fork(request, &keep, &watch).map_err(|error| error.to_string())
    }

    /// What the store's collector and hc's do together, when `gone` images are dead.
    pub fn gc(&self, gone: &[&ImageFile]) -> (usize, usize) {
        let (bases, disks) = (self.bases(), self.disks());
        let released = bases.release(&|image| disks.read_image(image), false).unwrap();
        let kept: Vec<String> = bases
            .list()
            .unwrap()
            .into_iter()
            .filter(|b| b.link.is_some())
            .map(|b| b.image)
            .collect();
        let dead = |image: &str| {
            gone.iter().any(|g| g.image == image) && !kept.contains(&image.to_owned())
        };
        let collected = bases.collect(&|image| !dead(image), false).unwrap();
        (released.len(), collected.len())
    }

    pub fn free(&self) -> u64 {
        run(Command::new("sync").arg("-f").arg(self.state.parent().unwrap()));
        let found = rustix::fs::statvfs(self.state.parent().unwrap()).unwrap();
        found.f_bfree * found.f_frsize
    }

    /// `examples/fork.rs` with these arguments, perhaps under another program.
    pub fn process(&self, under: &[&str], image: &ImageFile, rest: &[&str]) -> Output {
        let test = std::env::current_exe().unwrap();
        let program = test.parent().and_then(Path::parent).unwrap().join("examples/fork");
        assert!(program.exists(), "{} is missing: cargo test builds it", program.display());
        let mut words = under.iter().map(|word| std::ffi::OsStr::new(*word)).collect::<Vec<_>>();
        words.extend([program.as_os_str(), self.state.as_os_str(), self.root.as_os_str()]);
        words.push(image.logical.as_os_str());
        words.extend(rest.iter().map(|word| std::ffi::OsStr::new(*word)));
        Command::new(words[0]).args(&words[1..]).output().unwrap()
    }
}

/// A digest of everything in a tree but its own directory: names, kinds, owners, modes, times,
/// links, devices, attributes, contents.
pub fn digest(tree: &Path) -> String {
    let script = "ls -A | LC_ALL=C sort | tr '\\n' '\\0' | tar --xattrs '--xattrs-include=*' \
        --numeric-owner --sort=name --format=posix --pax-option=delete=atime,delete=ctime \
        --null --files-from=- -c | sha256sum";
    run(Command::new("bash").args(["-o", "pipefail", "-ec", script]).current_dir(tree))
}

/// What the machine would read: through QEMU for an overlay.
pub fn contents(disk: &Disk) -> Vec<u8> {
    if disk.method == hc_runtime::disk::Method::Reflink {
        return std::fs::read(&disk.path).unwrap();
    }
    let out = tempfile::tempdir().unwrap();
    let raw = out.path().join("raw");
    run(Command::new("qemu-img").args(["check", "-q", "-f", "qcow2"]).arg(&disk.path));
    run(Command::new("qemu-img")
        .args(["convert", "-f", "qcow2", "-O", "raw"])
        .args([&disk.path, &raw]));
    std::fs::read(raw).unwrap()
}

/// Writes a byte as the machine would.
pub fn scribble(disk: &Disk) {
    let format = match disk.method {
        hc_runtime::disk::Method::Reflink => "raw",
        hc_runtime::disk::Method::Overlay => "qcow2",
    };
    run(Command::new("qemu-io").args(["-f", format, "-c", "write -P 0x5a 0 512"]).arg(&disk.path));
}
