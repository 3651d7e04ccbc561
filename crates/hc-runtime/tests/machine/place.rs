//! A place of its own for each test.

use hc_runtime::{Phase, Places, Status, logs};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// The supervisor's executable.
pub fn supervisor() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join("examples/machine");
    assert!(path.exists(), "{} is missing: run `cargo test -p hc-runtime`", path.display());
    path
}

/// Makes an EROFS image of busybox; `more` adds to its tree.
pub fn make_image(dir: &Path, more: impl FnOnce(&Path)) -> PathBuf {
    let (tree, image) = (dir.join("tree"), dir.join("image.erofs"));
    for sub in ["bin", "etc", "usr/bin", "proc", "sys", "dev", "run", "tmp", "root", "home/web"] {
        std::fs::create_dir_all(tree.join(sub)).unwrap();
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find(|path| Path::new(path).exists());
    let busybox = busybox.expect("tests need the package busybox-static");
    std::fs::copy(busybox, tree.join("bin/busybox")).unwrap();
    let applets = Command::new(busybox).arg("--list").output().unwrap().stdout;
    for applet in String::from_utf8(applets).unwrap().lines().filter(|name| *name != "busybox") {
        std::os::unix::fs::symlink("busybox", tree.join("bin").join(applet)).unwrap();
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001::/home/web:/bin/sh\n";
    std::fs::write(tree.join("etc/passwd"), passwd).unwrap();
    std::fs::write(tree.join("etc/group"), "root:x:0:\nweb:x:1001:\nlog:x:4:web\n").unwrap();
    std::fs::write(tree.join("etc/broken"), "#!/no/such/interpreter\n").unwrap();
    Command::new("chmod").arg("755").arg(tree.join("etc/broken")).status().unwrap();
    Command::new("chmod").arg("1777").arg(tree.join("tmp")).status().unwrap();
    Command::new("chown").arg("-R").arg("1000:1001").arg(tree.join("home/web")).status().unwrap();
    more(&tree);
    let made = Command::new("mkfs.erofs").args(["--quiet", "-T0"]).arg(&image).arg(&tree).status();
    assert!(made.expect("tests need the package erofs-utils").success());
    image
}

/// The image most tests share.
fn image() -> &'static Path {
    static IMAGE: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = IMAGE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let image = make_image(dir.path(), |_| {});
        (dir, image)
    });
    path
}

pub struct Place {
    pub dir: TempDir,
    pub cgroup_parent: String,
    image: PathBuf,
    running: Option<Child>,
}

/// How a run ended.
pub struct Ended {
    pub status: Status,
    pub lines: Vec<logs::Line>,
    pub stderr: String,
}

impl Ended {
    /// What it wrote to standard output.
    pub fn out(&self) -> String {
        self.stream(logs::Stream::Out)
    }

    pub fn stream(&self, stream: logs::Stream) -> String {
        let lines = self.lines.iter().filter(|line| line.stream == stream);
        lines.map(|line| String::from_utf8_lossy(&line.text).into_owned() + "\n").collect()
    }

    pub fn code(&self) -> Option<i32> {
        self.status.exit.as_ref().and_then(|exit| exit.code)
    }
}

impl Place {
    pub fn new() -> Self {
        Self::with_image(image().into())
    }

    pub fn with_image(image: PathBuf) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let cgroup_parent = format!("hc-test-{}-{count}", std::process::id());
        Self { dir: tempfile::tempdir().unwrap(), cgroup_parent, image, running: None }
    }

    pub fn run_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn places(&self) -> Places {
        Places::new(&self.run_dir(), &self.state_dir(), "web")
    }

    /// Writes a closure: a shell script, and whatever else is said.
    pub fn closure(&self, script: &str, more: &Value) -> PathBuf {
        self.closure_named("machine.json", script, more)
    }

    pub fn closure_named(&self, file: &str, script: &str, more: &Value) -> PathBuf {
        let mut spec = json!({
            "schema": 1, "name": "web", "host": "demo", "cloud": "demo", "kind": "container",
            "image": {"rootfs": self.image}, "command": ["sh", "-c", script],
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        let path = self.dir.path().join(file);
        std::fs::write(&path, spec.to_string()).unwrap();
        path
    }

    pub fn command(&self, closure: &Path) -> Command {
        let mut command = Command::new(supervisor());
        command.arg("run").arg(closure).arg("--state-dir").arg(self.state_dir());
        command.arg("--run-dir").arg(self.run_dir());
        command.args(["--cgroup-parent", &self.cgroup_parent]).stdin(Stdio::null());
        command
    }

    /// Runs to the end.
    pub fn run(&mut self, script: &str, more: &Value) -> Ended {
        let closure = self.closure(script, more);
        let output = self.command(&closure).output().unwrap();
        self.ended(output.stderr)
    }

    /// Starts and comes back when `phase` is reached.
    pub fn start(&mut self, script: &str, more: &Value, phase: Phase) -> Status {
        let closure = self.closure(script, more);
        self.start_closure(&closure, phase)
    }

    pub fn start_closure(&mut self, closure: &Path, phase: Phase) -> Status {
        let child = self.command(closure).stderr(Stdio::piped()).stdout(Stdio::null()).spawn();
        self.running = Some(child.unwrap());
        self.wait_for(phase)
    }

    pub fn supervisor_pid(&self) -> i32 {
        i32::try_from(self.running.as_ref().expect("it was started").id()).unwrap()
    }

    pub fn status(&self) -> Option<Status> {
        Status::read(&self.run_dir(), "web").unwrap()
    }

    /// Until the running supervisor has come to `phase`.
    pub fn wait_for(&self, phase: Phase) -> Status {
        let pid = self.supervisor_pid();
        for _ in 0..10_000 {
            if let Some(status) = self.status().filter(|status| status.supervisor_pid == pid) {
                if status.phase == phase {
                    return status;
                }
                assert!(!status.phase.is_over(), "ended before {phase:?}: {status:?}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("did not come to {phase:?}: {:?}", self.status());
    }

    /// Until the script has made `/tmp/up`.
    pub fn until_up(&self) {
        while !self.exec(&["test", "-e", "/tmp/up"]).status.success() {}
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.supervisor_pid().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    /// Waits for the supervisor that was started.
    pub fn wait(&mut self) -> Ended {
        let output = self.running.take().expect("it was started").wait_with_output().unwrap();
        self.ended(output.stderr)
    }

    fn ended(&self, stderr: Vec<u8>) -> Ended {
        let stderr = String::from_utf8(stderr).unwrap();
        let status = self.status().unwrap_or_else(|| panic!("no status: {stderr}"));
        let lines = logs::tail(&self.places().log(), 10_000).unwrap();
        Ended { status, lines, stderr }
    }

    pub fn exec(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(supervisor());
        command.arg("exec").arg(self.run_dir()).arg("web").args(arguments);
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// Directories of the machines' control groups that are there.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mounts = mounts.lines().filter(|line| line.contains(" - cgroup"));
        let mut found: Vec<PathBuf> = mounts
            .filter_map(|line| line.split(' ').nth(4))
            .map(|mount| Path::new(mount).join(&self.cgroup_parent).join("web"))
            .filter(|group| group.exists())
            .collect();
        found.sort();
        found
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(child) = &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
        let name = hc_spec::Name::new("web").unwrap();
        let parent = Path::new(&self.cgroup_parent);
        let cleaned = hc_runtime::cleanup(&name, &self.run_dir(), None, Some(parent));
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        for line in mounts.lines().filter(|line| line.contains(" - cgroup")) {
            if let Some(mount) = line.split(' ').nth(4) {
                let _ = std::fs::remove_dir(Path::new(mount).join(&self.cgroup_parent));
            }
        }
        if !std::thread::panicking() {
            cleaned.unwrap();
        }
    }
}
