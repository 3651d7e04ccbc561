//! What `hc.sh` runs: an agent with the library's own code, or a supervisor that runs nothing but
//! writes the status files and obeys SIGTERM as the real one does.

use futures_util::future::{BoxFuture, FutureExt};
use hc_agent::{
    AgentConfig, Exit, Failpoints, MachineName, Networks, PartError, Parts, Phase, Roots, Status,
};
use hc_spec::{HostSpec, MachineSpec, Name};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Not a test by itself: without arguments from `hc.sh` there is nothing to play.
#[test]
fn play() {
    let Ok(text) = std::env::var("HC_TEST_ARGS") else { return };
    let args: Vec<&str> = text.split(' ').collect();
    let code = match args[0] {
        "agent" => agent(&args),
        "machine" => machine(&args),
        other => panic!("hc.sh was called with {other}"),
    };
    std::process::exit(code);
}

fn option<'a>(args: &[&'a str], name: &str) -> Option<&'a str> {
    let at = args.iter().position(|a| *a == name)?;
    args.get(at + 1).copied()
}

pub fn config(state: &Path, run: &Path, store: &Path, failpoints: &str) -> AgentConfig {
    let exe = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/hc.sh");
    let mut config = AgentConfig::new(exe);
    config.state_dir = state.into();
    config.run_dir = run.into();
    config.store_root = Some(store.into());
    config.machine_args = vec!["--store".into(), store.into()];
    config.agent_args = vec!["--store".into(), store.into()];
    if !failpoints.is_empty() {
        config.agent_args.extend(["--failpoints".into(), failpoints.into()]);
    }
    config.failpoints = failpoints.parse::<Failpoints>().unwrap();
    config
}

fn agent(args: &[&str]) -> i32 {
    let path = |name| Path::new(option(args, name).unwrap());
    let failpoints = option(args, "--failpoints").unwrap_or_default();
    let config = config(path("--state-dir"), path("--run-dir"), path("--store"), failpoints);
    let files = FileParts(path("--state-dir").to_owned());
    let parts = || {
        let networks = Arc::new(files.clone());
        Ok(Parts { machines: None, networks, roots: Arc::new(files) })
    };
    match hc_agent::run(config, parts) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("agent: {error}");
            1
        }
    }
}

/// Networks, names and roots as files: what is there can be looked at from outside.
#[derive(Clone)]
struct FileParts(PathBuf);

impl FileParts {
    fn write(&self, name: &str, text: &str) -> Result<(), PartError> {
        std::fs::create_dir_all(self.0.join(name).parent().unwrap())?;
        // In one step: a test may be reading it.
        let temporary = self.0.join(format!("{name}.new"));
        std::fs::write(&temporary, text)?;
        Ok(std::fs::rename(temporary, self.0.join(name))?)
    }

    fn remove(&self, name: &str) -> Result<(), PartError> {
        match std::fs::remove_file(self.0.join(name)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
            _ => Ok(()),
        }
    }
}

impl Networks for FileParts {
    fn ensure<'a>(&'a self, host: &'a HostSpec) -> BoxFuture<'a, Result<(), PartError>> {
        let make = |n: &Name| self.write(&format!("networks/{n}"), "");
        std::future::ready(host.networks.keys().try_for_each(make)).boxed()
    }
    fn remove<'a>(
        &'a self,
        _: &'a HostSpec,
        networks: &'a [Name],
    ) -> BoxFuture<'a, Result<(), PartError>> {
        let remove = |n: &Name| self.remove(&format!("networks/{n}"));
        std::future::ready(networks.iter().try_for_each(remove)).boxed()
    }
    fn forget<'a>(
        &'a self,
        _: &'a HostSpec,
        _: &'a [(Name, Vec<Name>)],
    ) -> BoxFuture<'a, Result<(), PartError>> {
        std::future::ready(Ok(())).boxed()
    }
    fn start_dns<'a>(&'a self, _: &'a HostSpec) -> BoxFuture<'a, Result<(), PartError>> {
        std::future::ready(self.write("dns", "")).boxed()
    }
    fn publish(&self, _: &HostSpec, machines: &[MachineName]) {
        let ready = |m: &MachineName| m.state == hc_agent::State::Ready;
        let lines = machines.iter().map(|m| format!("{} {}\n", m.name, ready(m)));
        self.write("names", &lines.collect::<String>()).unwrap();
    }
    fn stop_dns(&self) -> BoxFuture<'_, Result<(), PartError>> {
        std::future::ready(self.remove("dns")).boxed()
    }
    fn stop_all<'a>(&'a self, host: &'a HostSpec) -> BoxFuture<'a, Result<(), PartError>> {
        let remove = |n: &Name| self.remove(&format!("networks/{n}"));
        std::future::ready(host.networks.keys().try_for_each(remove)).boxed()
    }
}

impl Roots for FileParts {
    fn add_root(&self, link: &Path) -> Result<(), PartError> {
        std::fs::read_link(link)?;
        self.write(&format!("roots/{}", link.file_name().unwrap().to_str().unwrap()), "")
    }
    fn remove_root(&self, link: &Path) -> Result<(), PartError> {
        self.remove(&format!("roots/{}", link.file_name().unwrap().to_str().unwrap()))
    }
}

struct Supervisor {
    state: PathBuf,
    run: PathBuf,
    status: Status,
}

impl Supervisor {
    fn say(&mut self, phase: Phase, exit: Option<Exit>) {
        (self.status.phase, self.status.exit) = (phase, exit);
        let directory = self.run.join("machines").join(&self.status.name);
        std::fs::create_dir_all(&directory).unwrap();
        let text = serde_json::to_vec(&self.status).unwrap();
        std::fs::write(directory.join(".status"), text).unwrap();
        std::fs::rename(directory.join(".status"), directory.join("status.json")).unwrap();
    }

    fn log(&self, line: &str) {
        let directory = self.state.join("machines").join(&self.status.name).join("log");
        std::fs::create_dir_all(&directory).unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let line = format!("{} e {line}\n", now.as_micros());
        std::fs::write(directory.join("current"), line).unwrap();
    }
}

/// The command says how it behaves: `ready`, `silent`, `broken`, `crash CODE`, `done`.
fn machine(args: &[&str]) -> i32 {
    let closure = Path::new(args[2]);
    let store = Path::new(option(args, "--store").unwrap());
    let text = std::fs::read(store.join(closure.strip_prefix("/").unwrap())).unwrap();
    let spec = MachineSpec::from_json(&text).unwrap();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let start = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().parse().unwrap();
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let state = PathBuf::from(option(args, "--state-dir").unwrap());
    // Two supervisors of one machine at the same time: that must never be.
    std::fs::create_dir_all(state.join("machines").join(spec.name.as_str())).unwrap();
    let lock = std::fs::File::create(state.join("machines").join(spec.name.as_str()).join("lock"));
    let lock = lock.unwrap();
    if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
        std::fs::write(state.join("double"), spec.name.as_str()).unwrap();
    }
    let pid = std::process::id().try_into().unwrap();
    let mut supervisor = Supervisor {
        run: option(args, "--run-dir").unwrap().into(),
        state,
        status: Status {
            name: spec.name.to_string(),
            closure: closure.into(),
            supervisor_pid: pid,
            supervisor_start: start,
            payload_pid: Some(pid),
            boot_id: boot_id.trim().into(),
            phase: Phase::Starting,
            exit: None,
            since: 0,
            addresses: vec!["fd00::2".parse().unwrap()],
            text: Some("serving".into()),
        },
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut term = signal(SignalKind::terminate()).unwrap();
        supervisor.say(Phase::Starting, None);
        let words: Vec<&str> = spec.command.iter().map(String::as_str).collect();
        match words[..] {
            ["broken"] => {
                supervisor.say(Phase::Failed, Some(Exit::error("no such program")));
                return 1;
            }
            ["crash", code] => {
                supervisor.say(Phase::Running, None);
                supervisor.log("about to crash");
                supervisor.say(Phase::Exited, Some(Exit::code(code.parse().unwrap())));
                return 0;
            }
            ["done"] => {
                supervisor.say(Phase::Running, None);
                supervisor.say(Phase::Ready, None);
                supervisor.say(Phase::Exited, Some(Exit::code(0)));
                return 0;
            }
            ["silent"] => supervisor.say(Phase::Running, None),
            _ => {
                supervisor.say(Phase::Running, None);
                supervisor.say(Phase::Ready, None);
            }
        }
        // Not for ever: a test that was killed cannot clean up.
        let _ = tokio::time::timeout(Duration::from_secs(600), term.recv()).await;
        supervisor.say(Phase::Stopping, None);
        supervisor.say(Phase::Exited, Some(Exit::code(0)));
        0
    })
}
