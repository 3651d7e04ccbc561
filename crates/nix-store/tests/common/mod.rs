//! A store in a temporary directory, a static shell to build with, and C++ Nix to judge.
#![allow(dead_code, missing_docs, clippy::disallowed_methods)]

pub mod far;
pub mod peers;

use nix_compat::{CAHash, Derivation, NixHash, Output, StorePath};
use nix_store::{BuildEvent, BuildObserver, DrvOutput, IngestMethod, Quiet, Store, StoreConfig};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output as Ran};

pub struct Home {
    pub dir: tempfile::TempDir,
    pub store: Store,
    pub busybox: StorePath,
}

pub fn config(root: &Path) -> StoreConfig {
    StoreConfig { root: Some(root.into()), jobs: 2, fetch_tries: 2, ..StoreConfig::default() }
}

impl Home {
    pub fn new() -> Self {
        assert!(rustix::process::geteuid().is_root(), "the tests of the store run as root");
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(config(&dir.path().join("root"))).unwrap();
        let busybox = add_busybox(&store, dir.path(), dir.path());
        Self { dir, store, busybox }
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    pub fn physical(&self, path: &StorePath) -> PathBuf {
        self.store.physical(path)
    }

    /// A derivation that runs a script with busybox in its PATH.
    pub fn script(&self, name: &str, script: &str) -> Derivation {
        self.script_on("x86_64-linux", name, script)
    }

    /// The same for another system.
    pub fn script_on(&self, system: &str, name: &str, script: &str) -> Derivation {
        Derivation::new(name, system, format!("{}/bin/sh", self.busybox))
            .argument("-e")
            .argument("-c")
            .argument(script)
            .set("PATH", format!("{}/bin", self.busybox))
            .set("out", "")
            .input_source(self.busybox.clone())
            .input_addressed_output("out")
    }

    pub fn add(&self, builder: Derivation) -> (StorePath, Derivation) {
        let derivation = builder.build().unwrap();
        (self.store.add_derivation(&derivation).unwrap(), derivation)
    }

    pub fn build(&self, builder: Derivation) -> nix_store::Result<StorePath> {
        let (drv, _) = self.add(builder);
        self.build_drv(&drv, &Quiet)
    }

    pub fn build_drv(
        &self,
        drv: &StorePath,
        observer: &dyn BuildObserver,
    ) -> nix_store::Result<StorePath> {
        let output = DrvOutput::new(drv.clone(), "out");
        Ok(self.store.build(std::slice::from_ref(&output), observer)?.remove(&output).unwrap())
    }

    /// What a script that succeeds wrote to its output.
    pub fn read(&self, name: &str, script: &str) -> String {
        let out = self.build(self.script(name, script)).unwrap();
        std::fs::read_to_string(self.physical(&out)).unwrap()
    }

    /// C++ Nix finds nothing wrong.
    pub fn verify(&self) {
        let ran = nix_store(&self.root(), &["--verify", "--check-contents"]);
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        let wrong = ["error", "modified", "disappeared", "not found", "warning", "invalid"];
        assert!(ran.status.success() && !wrong.iter().any(|w| said.contains(w)), "{said}");
    }

    /// No half made tree, lock or record is left.
    pub fn nothing_left(&self) {
        let store = self.root().join("nix/store");
        let names: Vec<_> = std::fs::read_dir(&store)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|n| n != ".links")
            .collect();
        let valid = self.store.valid_paths().unwrap();
        for name in names {
            let path = StorePath::from_basename(name.as_bytes());
            assert!(path.is_ok_and(|p| valid.contains(&p)), "{name} was left behind");
        }
        let records = self.root().join("nix/var/nix/hc-scratch");
        assert_eq!(std::fs::read_dir(records).unwrap().count(), 0);
    }
}

/// Every test has one of its own: what runs from another test's is in use, and stays.
pub fn add_busybox(store: &Store, dir: &Path, salt: &Path) -> StorePath {
    let program = Path::new("/bin/busybox");
    assert!(program.exists(), "{} is missing: install busybox-static", program.display());
    let tree = dir.join("busybox");
    std::fs::create_dir_all(tree.join("bin")).unwrap();
    std::fs::copy(program, tree.join("bin/busybox")).unwrap();
    std::fs::write(tree.join("salt"), salt.as_os_str().as_encoded_bytes()).unwrap();
    for applet in [
        "sh", "cat", "chmod", "chown", "dd", "env", "id", "ls", "ln", "mkdir", "mknod", "mount",
        "sleep", "stat", "touch", "ping", "ip", "sort", "wc", "hostname", "chroot", "readlink",
        "unshare", "true", "sed", "cp", "rm", "mv", "nc", "setsid",
    ] {
        std::os::unix::fs::symlink("busybox", tree.join("bin").join(applet)).unwrap();
    }
    store.add_path("busybox", &tree, IngestMethod::Recursive, &BTreeSet::new(), None).unwrap()
}

/// The judge of these tests.
pub fn nix_store_program() -> PathBuf {
    ["/usr/bin/nix-store", "/run/current-system/sw/bin/nix-store"]
        .into_iter()
        .map(PathBuf::from)
        .find(|program| program.exists())
        .expect("nix-store is missing: install nix-bin, the judge of these tests")
}

/// Runs C++ Nix on a relocated store, with no configuration of the host.
pub fn nix_store(root: &Path, arguments: &[&str]) -> Ran {
    nix_store_with(&nix_store_program(), root, arguments)
}

/// The same with a certain `nix-store`.
pub fn nix_store_with(program: &Path, root: &Path, arguments: &[&str]) -> Ran {
    let home = root.with_extension("home");
    std::fs::create_dir_all(&home).unwrap();
    // No build goes to another machine: a hook that says so, whatever this Nix would start.
    let hook = home.join("hook");
    if !hook.exists() {
        let made = home.join(format!("hook-{:?}", std::thread::current().id()));
        std::fs::write(&made, "#!/bin/sh\necho '# decline-permanently' >&2\n").unwrap();
        std::fs::set_permissions(&made, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        std::fs::rename(made, &hook).unwrap();
    }
    let settings = format!(
        "build-hook = {}\nbuild-users-group =\nbuilders =\nsubstitute = false",
        hook.display()
    );
    Command::new(program)
        .arg("--store")
        .arg(root)
        .args(arguments)
        .env_clear()
        .env("HOME", &home)
        .env("NIX_CONF_DIR", &home)
        .env("NIX_CONFIG", settings)
        .env("PATH", "/usr/bin:/bin")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap()
}

pub fn fetchurl(name: &str, url: &str, ca: CAHash) -> Derivation {
    Derivation::new(name, "builtin", "builtin:fetchurl")
        .set("url", url)
        .set("out", "")
        .output("out", Output::Fixed { ca })
}

pub fn sha256(bytes: &[u8]) -> NixHash {
    nix_compat::hash_bytes(nix_compat::HashAlgorithm::Sha256, bytes)
}

/// Collects log lines.
#[derive(Default)]
pub struct Listener {
    pub lines: std::sync::Mutex<Vec<String>>,
    pub cancel_after_line: Option<&'static str>,
}

impl BuildObserver for Listener {
    fn event(&self, event: BuildEvent<'_>) {
        if let BuildEvent::Log { line, .. } = event {
            self.lines.lock().unwrap().push(line.to_owned());
        }
    }

    fn cancelled(&self) -> bool {
        let lines = self.lines.lock().unwrap();
        self.cancel_after_line.is_some_and(|wanted| lines.iter().any(|line| line == wanted))
    }
}

/// Runs a command of C++ Nix on a relocated store, which must succeed.
pub fn nix(root: &Path, arguments: &[&str]) {
    let home = root.with_extension("home");
    std::fs::create_dir_all(&home).unwrap();
    let ran = Command::new(nix_store_program().with_file_name("nix"))
        .args(["--extra-experimental-features", "nix-command", "--store"])
        .arg(root)
        .args(arguments)
        .env("NIX_CONF_DIR", &home)
        .env("HOME", &home)
        .env_remove("NIX_CONFIG")
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}
