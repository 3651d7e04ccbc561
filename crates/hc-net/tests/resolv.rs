//! `resolv.conf` of a host, in a directory of the test's own.
#![allow(clippy::disallowed_methods)]

use hc_net::resolv::{Host, upstreams};
use std::net::IpAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

const OURS: &str = "127.0.0.60";
const TEXT: &str = "nameserver 192.0.2.1\nnameserver 2001:db8::1\noptions ndots:1\n";

fn ours() -> IpAddr {
    OURS.parse().unwrap()
}

fn file(path: &Path) -> Host {
    Host::File { path: path.into() }
}

#[test]
fn a_file_is_edited_and_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("resolv.conf");
    std::fs::write(&path, TEXT).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    let host = file(&path);
    for _ in 0..2 {
        host.enable("demo.internal", ours()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches(OURS).count(), 1);
        assert!(text.ends_with(TEXT));
        let others = upstreams(&path, &[]).unwrap();
        assert_eq!(others, ["192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap()]);
    }
    for _ in 0..2 {
        host.disable().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), TEXT);
    }
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    let others = upstreams(&path, &["192.0.2.1".parse().unwrap()]).unwrap();
    assert_eq!(others.len(), 1, "its own address is left out");
}

#[test]
fn an_empty_file_is_empty_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("resolv.conf");
    std::fs::write(&path, "").unwrap();
    file(&path).enable("demo.internal", ours()).unwrap();
    file(&path).disable().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
}

#[test]
fn a_missing_file_is_missing_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("resolv.conf");
    file(&path).disable().unwrap();
    assert_eq!(upstreams(&path, &[]).unwrap(), []);
    file(&path).enable("demo.internal", ours()).unwrap();
    assert!(std::fs::read_to_string(&path).unwrap().contains("nameserver 127.0.0.60\n"));
    file(&path).disable().unwrap();
    assert!(!path.exists());
}

#[test]
fn a_symlink_stays_one() {
    let dir = tempfile::tempdir().unwrap();
    let (path, target) = (dir.path().join("resolv.conf"), dir.path().join("run"));
    std::fs::write(&target, TEXT).unwrap();
    symlink("run", &path).unwrap();
    file(&path).enable("demo.internal", ours()).unwrap();
    assert!(std::fs::read_to_string(&target).unwrap().contains(OURS));
    assert!(path.is_symlink());
    file(&path).disable().unwrap();
    assert_eq!(std::fs::read_to_string(&target).unwrap(), TEXT);
}

#[test]
fn a_bind_mounted_file_is_written_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let (path, real) = (dir.path().join("resolv.conf"), dir.path().join("real"));
    std::fs::write(&path, "under the mount\n").unwrap();
    std::fs::write(&real, TEXT).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            use rustix::mount::{MountPropagationFlags as Propagation, mount_bind, mount_change};
            // SAFETY: a mount namespace holds no memory and no file descriptors of this process.
            unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }
                .expect("this test makes a mount namespace and needs root");
            mount_change("/", Propagation::PRIVATE | Propagation::REC).unwrap();
            mount_bind(&real, &path).unwrap();
            file(&path).enable("demo.internal", ours()).unwrap();
            assert!(std::fs::read_to_string(&real).unwrap().contains(OURS));
            file(&path).disable().unwrap();
            assert_eq!(std::fs::read_to_string(&real).unwrap(), TEXT);
        });
    });
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "under the mount\n");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn resolved_is_only_believed_when_it_answers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("resolv.conf");
    std::fs::write(&path, "nameserver 127.0.0.53\n").unwrap();
    assert_eq!(Host::detect(dir.path(), &path, "hcb0"), file(&path));
    std::fs::create_dir_all(dir.path().join("systemd/resolve")).unwrap();
    let socket = dir.path().join("systemd/resolve/io.systemd.Resolve");
    let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    let resolved = Host::Resolved { link: "hcb0".into() };
    assert_eq!(Host::detect(dir.path(), &path, "hcb0"), resolved);
    std::fs::write(&path, TEXT).unwrap();
    assert_eq!(Host::detect(dir.path(), &path, "hcb0"), file(&path));
    drop(listener);
}
