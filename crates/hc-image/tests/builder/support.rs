//! Packages made here, and a place to build in as an unprivileged range of ids.

use rustix::thread::UnshareFlags;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The first id outside that is 0 inside.
const FIRST: u32 = 1_000_000;

/// A directory that belongs to the mapped root.
pub struct Workplace(tempfile::TempDir);

impl Workplace {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        // The builder may lie where only root can look.
        let builder = std::env::current_exe().unwrap();
        let builder = builder.ancestors().nth(2).unwrap().join("examples/builder");
        // By another process: a descriptor open for writing here, inherited by what another test
        // starts at this moment, would make the copy "busy".
        let copied = Command::new("cp").arg(builder).arg(dir.path().join("builder")).status();
        assert!(copied.unwrap().success());
        Self(dir)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Builds; gives the image, or what was said.
    pub fn build(
        &self,
        name: &str,
        debs: &[PathBuf],
        more: &[(&str, &str)],
    ) -> Result<PathBuf, String> {
        let top = self.path().join(name);
        std::fs::create_dir_all(&top).unwrap();
        std::os::unix::fs::chown(&top, Some(FIRST), Some(FIRST)).unwrap();
        let debs: Vec<&str> = debs.iter().map(|d| d.to_str().unwrap()).collect();
        let out = top.join("out");
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--pid",
            "--fork",
            "--mount-proc",
            "--net",
            "--ipc",
            "--uts",
            "--",
        ]);
        command.arg(self.path().join("builder")).arg("debian-rootfs");
        command.env_clear().env("PATH", "/usr/bin:/bin");
        command.env("out", &out).env("debs", debs.join(" ")).env("NIX_BUILD_TOP", &top);
        command.env("epoch", "1000000000").envs(more.iter().copied());
        let done = over_mapped_ids(command);
        let work = top.join("rootfs");
        if work.exists() {
            std::fs::remove_dir_all(work).unwrap();
        }
        if done.status.success() {
            return Ok(out.join("rootfs.erofs"));
        }
        Err(String::from_utf8_lossy(&done.stderr).into_owned())
    }
}

/// Runs a command as root of a user namespace with 65,536 ids.
fn over_mapped_ids(mut command: Command) -> std::process::Output {
    let (mut ready, tell) = std::io::pipe().unwrap();
    let (mut go, gone) = std::io::pipe().unwrap();
    // SAFETY: only system calls on numbers and on descriptors that are open here.
    unsafe {
        command.pre_exec(move || {
            rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER)?;
            (&tell).write_all(&rustix::process::getpid().as_raw_nonzero().get().to_le_bytes())?;
            go.read_exact(&mut [0])?;
            rustix::thread::set_thread_groups(&[])?;
            rustix::thread::set_thread_gid(rustix::fs::Gid::ROOT)?;
            rustix::thread::set_thread_uid(rustix::fs::Uid::ROOT)?;
            Ok(())
        });
    }
    std::thread::scope(|scope| {
        let run = scope.spawn(move || command.output().unwrap());
        let mut pid = [0; 4];
        ready.read_exact(&mut pid).unwrap();
        let pid = i32::from_le_bytes(pid);
        for map in ["uid_map", "gid_map"] {
            std::fs::write(format!("/proc/{pid}/{map}"), format!("0 {FIRST} 65536\n")).unwrap();
        }
        (&gone).write_all(&[1]).unwrap();
        run.join().unwrap()
    })
}

/// Kind and mode, owner, and time of a file.
pub fn stat(path: &Path) -> String {
    let found = std::fs::symlink_metadata(path).unwrap();
    format!("{:o} {}:{} @{}", found.mode(), found.uid(), found.gid(), found.mtime())
}

/// What `inside` says of an image mounted by the kernel, unseen by anybody else.
pub fn mounted<T: Send>(image: &Path, inside: impl FnOnce(&Path) -> T + Send) -> T {
    use rustix::mount as m;
    let dir = tempfile::tempdir().unwrap();
    let work = || {
        // SAFETY: only this thread's mount namespace and working directory.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS) }.unwrap();
        let private = m::MountPropagationFlags::PRIVATE | m::MountPropagationFlags::REC;
        m::mount_change("/", private).unwrap();
        m::mount(image, dir.path(), "erofs", m::MountFlags::RDONLY, None).unwrap();
        inside(dir.path())
    };
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

type File<'a> = (&'a str, &'a str, u32, u64, u64);

/// A package with files (path, text, mode, uid, gid) and scripts.
pub fn tiny_deb(
    dir: &Path,
    name: &str,
    more: &str,
    files: &[File<'_>],
    scripts: &[(&str, &str)],
) -> PathBuf {
    let mut data = tar::Builder::new(Vec::new());
    let mut dirs = std::collections::BTreeSet::new();
    for (path, ..) in files {
        dirs.extend(Path::new(path).ancestors().skip(1).filter(|d| *d != Path::new("")));
    }
    for dir in dirs {
        append_dir(&mut data, dir.to_str().unwrap());
    }
    for (path, text, mode, uid, gid) in files {
        append(&mut data, path, text.as_bytes(), *mode, *uid, *gid);
    }
    write_deb(dir, name, more, scripts, data)
}

/// An essential package with programs of this machine and the libraries they need.
pub fn deb_of_programs(dir: &Path, name: &str, programs: &[&str]) -> PathBuf {
    let mut data = tar::Builder::new(Vec::new());
    let mut files: std::collections::BTreeSet<PathBuf> = programs
        .iter()
        .map(|program| {
            let places = ["/usr/bin", "/usr/sbin"].map(|dir| Path::new(dir).join(program));
            places.into_iter().find(|p| p.exists()).unwrap_or_else(|| panic!("no {program} here"))
        })
        .collect();
    for program in files.clone() {
        let done = Command::new("ldd").arg(program).output().unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        let paths = text.split_ascii_whitespace().filter(|word| word.starts_with('/'));
        files.extend(paths.map(PathBuf::from));
    }
    for link in ["bin", "sbin", "lib", "lib64"] {
        append_link(&mut data, link, tar::EntryType::Symlink, &format!("usr/{link}"));
    }
    for dir in ["usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "var/log"] {
        append_dir(&mut data, dir);
    }
    for file in files {
        let inside = file.strip_prefix("/").unwrap().to_str().unwrap();
        let merged = ["bin/", "sbin/", "lib/", "lib64/"].iter().any(|d| inside.starts_with(d));
        let inside = if merged { format!("usr/{inside}") } else { inside.to_owned() };
        append(&mut data, &inside, &std::fs::read(&file).unwrap(), 0o755, 0, 0);
    }
    append(&mut data, "etc/passwd", b"root:x:0:0::/root:/bin/sh\n", 0o644, 0, 0);
    append(&mut data, "etc/group", b"root:x:0:\nshadow:x:42:\n", 0o644, 0, 0);
    write_deb(dir, name, "Essential: yes\n", &[], data)
}

/// An essential package with entries whose paths nobody looked at: `f`ile, `s`ymlink, `h`ard link.
pub fn raw_deb(dir: &Path, package: &str, more: &str, entries: &[(&str, char, &str)]) -> PathBuf {
    let mut data = tar::Builder::new(Vec::new());
    for (path, kind, target) in entries {
        let mut header = header();
        header.set_entry_type(match kind {
            's' => tar::EntryType::Symlink,
            'h' => tar::EntryType::Link,
            _ => tar::EntryType::Regular,
        });
        header.set_mode(0o644);
        header.set_size(0);
        name(&mut header, path, target);
        data.append(&header, std::io::empty()).unwrap();
    }
    write_deb(dir, package, more, &[], data)
}

fn header() -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1);
    header
}

type Tar = tar::Builder<Vec<u8>>;

/// As it stands, `./` and all: what `tar` would make of it is not what packages have.
fn name(header: &mut tar::Header, path: &str, target: &str) {
    let gnu = header.as_gnu_mut().unwrap();
    gnu.name[..path.len()].copy_from_slice(path.as_bytes());
    gnu.linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_cksum();
}

fn append(to: &mut Tar, path: &str, bytes: &[u8], mode: u32, uid: u64, gid: u64) {
    let mut header = header();
    header.set_mode(mode);
    header.set_uid(uid);
    header.set_gid(gid);
    header.set_size(bytes.len() as u64);
    header.set_mtime(1_500_000_000);
    name(&mut header, &format!("./{path}"), "");
    to.append(&header, bytes).unwrap();
}

fn append_dir(to: &mut Tar, path: &str) {
    let mut header = header();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o755);
    header.set_size(0);
    name(&mut header, &format!("./{path}/"), "");
    to.append(&header, std::io::empty()).unwrap();
}

fn append_link(to: &mut Tar, path: &str, kind: tar::EntryType, target: &str) {
    let mut header = header();
    header.set_entry_type(kind);
    header.set_mode(0o777);
    header.set_size(0);
    header.set_mtime(1);
    name(&mut header, &format!("./{path}"), target);
    to.append(&header, std::io::empty()).unwrap();
}

fn write_deb(dir: &Path, name: &str, more: &str, scripts: &[(&str, &str)], data: Tar) -> PathBuf {
    let mut control = tar::Builder::new(Vec::new());
    let text = format!(
        "Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\n\
         Description: for a test\n{more}"
    );
    append(&mut control, "control", text.as_bytes(), 0o644, 0, 0);
    for (script, text) in scripts {
        append(&mut control, script, text.as_bytes(), 0o755, 0, 0);
    }
    let control = liblzma::encode_all(&control.into_inner().unwrap()[..], 0).unwrap();
    let data = liblzma::encode_all(&data.into_inner().unwrap()[..], 0).unwrap();
    let mut out = b"!<arch>\n".to_vec();
    let parts =
        [("debian-binary", &b"2.0\n"[..]), ("control.tar.xz", &control), ("data.tar.xz", &data)];
    for (member, bytes) in parts {
        let head =
            format!("{member:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, bytes.len());
        out.extend(head.bytes());
        out.extend(bytes);
        out.resize(out.len().next_multiple_of(2), b'\n');
    }
    let path = dir.join(format!("{name}_1_all.deb"));
    std::fs::write(&path, out).unwrap();
    path
}
