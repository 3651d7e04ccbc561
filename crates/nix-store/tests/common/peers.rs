//! Releases of C++ Nix to talk to: the system's, and those in chroots below `/opt/peers`.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A release: nothing is the system's.
#[derive(Debug, Clone, Copy)]
pub struct Peer(Option<&'static str>);

impl Peer {
    /// The system's, which must be there, and those that are there besides.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self(None)];
        for name in ["trixie", "sid"] {
            if Path::new("/opt/peers").join(name).join("usr/bin/nix-daemon").exists() {
                all.push(Self(Some(name)));
            } else {
                eprintln!("SKIPPED: the peer /opt/peers/{name} is not installed");
            }
        }
        all
    }

    /// Whether it is older than `DRV^OUTPUT`.
    pub fn is_old(self) -> bool {
        self.0.is_none()
    }

    /// What a sandbox has to show for its programs to run there.
    pub fn programs(self) -> Vec<(PathBuf, PathBuf)> {
        let root = self.0.map_or("/".into(), |name| Path::new("/opt/peers").join(name));
        let show = |name: &str| (Path::new("/").join(name), root.join(name));
        ["usr", "lib", "lib64"].map(show).into()
    }

    /// A command of it that sees `dir` at the path that is returned.
    pub fn command(self, program: &str, dir: &Path) -> (Command, PathBuf) {
        let settings = "build-users-group =\nbuilders =\nsubstitute = false\nsandbox = true\n";
        let (mut command, seen) = match self.0 {
            None => (Command::new(program), dir.to_path_buf()),
            Some(name) => {
                let mut command = Command::new("unshare");
                // A changed root directory, unlike a pivoted one, would allow no user namespaces.
                let script = r#"
                    set -e
                    mount --rbind "$2" "$2"
                    mount --bind "$1" "$2/mnt"
                    mount -t proc proc "$2/proc"
                    mount --rbind /sys "$2/sys"
                    mount --rbind /dev "$2/dev"
                    cd "$2"
                    pivot_root . srv
                    cd /
                    shift 2
                    exec "$@"
                "#;
                command.args(["--mount", "sh", "-c", script, "sh"]);
                command.arg(dir).arg(Path::new("/opt/peers").join(name)).arg(program);
                (command, "/mnt".into())
            }
        };
        command
            .env("NIX_CONFIG", settings)
            .env("HOME", "/nonexistent")
            .env("NIX_CONF_DIR", "/nonexistent")
            .env_remove("NIX_REMOTE");
        (command, seen)
    }
}

/// The `nix-store` of each release, as programs that see temporary files where they are; those of
/// releases in chroots are made in `dir`.
pub fn nix_stores(dir: &Path) -> Vec<PathBuf> {
    let temporary = std::env::temp_dir();
    let program = |peer: Peer| {
        let Some(name) = peer.0 else { return super::nix_store_program() };
        let root = Path::new("/opt/peers").join(name);
        let script = format!(
            r#"#!/bin/sh
exec /usr/bin/unshare --mount /bin/sh -ec '
    root=$1 temporary=$2; shift 2
    mount --rbind "$root" "$root"
    mount --bind "$temporary" "$root$temporary"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    cd "$root"; /usr/sbin/pivot_root . srv; cd /
    exec "$@"' sh {} {} nix-store "$@"
"#,
            root.display(),
            temporary.display()
        );
        let program = dir.join(format!("nix-store-{name}"));
        std::fs::write(&program, script).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, executable).unwrap();
        program
    };
    Peer::all().into_iter().map(program).collect()
}

/// A daemon for the store `root` below a directory.
pub struct RunningDaemon {
    pub socket: PathBuf,
    child: Child,
}

impl RunningDaemon {
    pub fn start(peer: Peer, dir: &Path, options: &[&str]) -> Self {
        let socket = dir.join("socket");
        let _ = std::fs::remove_file(&socket);
        // Two connections that both make the store would be one too many for Nix 2.8.
        let (mut init, seen) = peer.command("nix-store", dir);
        assert!(
            init.arg("--store").arg(seen.join("root")).arg("--init").status().unwrap().success()
        );
        let (mut command, seen) = peer.command("nix-daemon", dir);
        let child = command
            .arg("--store")
            .arg(seen.join("root"))
            .args(options)
            .env("NIX_DAEMON_SOCKET_PATH", seen.join("socket"))
            .stdin(Stdio::null())
            .spawn()
            .expect("nix-daemon, from checks/install test");
        let daemon = Self { socket, child };
        for _ in 0..1000 {
            if UnixStream::connect(&daemon.socket).is_ok() {
                return daemon;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the daemon of {peer:?} does not listen");
    }

    pub fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}

impl Drop for RunningDaemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
