//! A host of one test: its own state, store and agent.

use hc_agent::wire::{ActivateRequest, Activation, Outcome, RollbackRequest};
use hc_agent::{AgentConfig, Client, Generations, Process};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Host {
    dir: tempfile::TempDir,
    agent: Option<Child>,
}

/// A machine that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs {
    pub closure: PathBuf,
    pub pid: i32,
}

impl Host {
    pub fn new() -> Self {
        let host = Self { dir: tempfile::tempdir().unwrap(), agent: None };
        std::fs::create_dir_all(host.state()).unwrap();
        let binary = std::env::current_exe().unwrap();
        let line = format!("{}\n", binary.display());
        std::fs::write(host.state().join("test-binary"), line).unwrap();
        host
    }

    /// With an agent that has nothing to do.
    pub fn started() -> Self {
        let mut host = Self::new();
        host.start("");
        host
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn run_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    pub fn store(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    pub fn config(&self, failpoints: &str) -> AgentConfig {
        crate::play::config(&self.state(), &self.run_dir(), &self.store(), failpoints)
    }

    pub fn client(&self) -> Client {
        Client::new(self.run_dir().join("agent.sock"))
    }

    pub fn generations(&self) -> Generations {
        Generations::new(self.state())
    }

    pub fn physical(&self, logical: &Path) -> PathBuf {
        self.store().join(logical.strip_prefix("/").unwrap())
    }

    pub fn agent_command(&self, failpoints: &str) -> Command {
        let config = self.config(failpoints);
        let mut command = Command::new(&config.exe);
        command.args(["agent", "--state-dir"]).arg(&config.state_dir);
        command.arg("--run-dir").arg(&config.run_dir).args(&config.agent_args);
        command.stdin(Stdio::null());
        command
    }

    /// Starts the agent and waits until it has come up.
    pub fn start(&mut self, failpoints: &str) {
        assert!(self.agent.is_none());
        self.agent = Some(self.agent_command(failpoints).spawn().unwrap());
        self.idle();
    }

    /// Waits until the agent answers and is not activating anything.
    pub fn idle(&self) {
        until("the agent is idle", || self.client().status().is_ok_and(|s| s.activation.is_none()));
    }

    pub fn agent_pid(&self) -> Pid {
        Pid::from_child(self.agent.as_ref().unwrap())
    }

    /// Ends the agent as the system or a person would.
    pub fn end(&mut self, signal: Signal) {
        kill_process(self.agent_pid(), signal).unwrap();
        self.ended();
    }

    /// Waits for the agent's own end; gives whether it was content.
    pub fn ended(&mut self) -> bool {
        self.agent.take().unwrap().wait().unwrap().success()
    }

    /// Machine set of machines with the command that says how each behaves.
    pub fn set(&self, machines: &[(&str, &str)]) -> PathBuf {
        self.set_with(machines, &serde_json::json!({}))
    }

    /// The same, on a host with networks.
    pub fn set_on(&self, networks: &[&str], machines: &[(&str, &str)]) -> PathBuf {
        let plain = self.set(machines);
        let set = PathBuf::from(format!("{}-{}", plain.display(), networks.join("-")));
        let (from, to) = (self.physical(&plain), self.physical(&set));
        if !to.exists() {
            std::fs::rename(from, &to).unwrap();
            let networks: BTreeMap<_, _> =
                networks.iter().map(|n| (n, serde_json::json!({}))).collect();
            let host =
                serde_json::json!({"schema": 1, "cloud": "c", "host": "h", "networks": networks});
            std::fs::write(to.join("host.json"), host.to_string()).unwrap();
        }
        set
    }

    /// The same, with other options of all of them.
    pub fn set_with(&self, machines: &[(&str, &str)], options: &serde_json::Value) -> PathBuf {
        let mut links = BTreeMap::new();
        for (name, command) in machines {
            let mut spec = serde_json::json!({
                "schema": 1, "name": name, "host": "h", "cloud": "c", "kind": "container",
                "image": {"rootfs": "/nix/store/x/rootfs.erofs"},
                "command": command.split(' ').collect::<Vec<_>>(),
                "ready": {"when": "notify"}, "restart": {"delayMs": 10, "maxDelayMs": 20},
            });
            spec.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
            let text = spec.to_string();
            let closure = PathBuf::from(format!("/nix/store/{}-machine-{name}.json", hash(&text)));
            let at = self.physical(&closure);
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            std::fs::write(at, text).unwrap();
            links.insert((*name).to_owned(), closure);
        }
        let set = PathBuf::from(format!("/nix/store/{}-machine-set", hash(&format!("{links:?}"))));
        let at = self.physical(&set);
        if !at.exists() {
            std::fs::create_dir_all(&at).unwrap();
            std::fs::write(at.join("host.json"), r#"{"schema":1,"cloud":"c","host":"h"}"#).unwrap();
            for (name, closure) in links {
                std::os::unix::fs::symlink(closure, at.join(name)).unwrap();
            }
        }
        set
    }

    pub fn request(set: &Path) -> ActivateRequest {
        ActivateRequest { set: set.into(), timeout_sec: None, by: None }
    }

    pub fn activate(&self, set: &Path) -> Activation {
        self.client().activate(&Self::request(set), false).unwrap()
    }

    /// Activates, which must succeed.
    pub fn deploy(&self, set: &Path) -> Activation {
        let done = self.activate(set);
        assert_eq!(done.outcome, Outcome::Activated, "{done:#?}");
        done
    }

    pub fn rollback(&self, to: Option<u64>) -> Activation {
        let request = RollbackRequest { to, ..RollbackRequest::default() };
        self.client().rollback(&request, false).unwrap()
    }

    /// What runs, by the processes that are there.
    pub fn running(&self) -> BTreeMap<String, Runs> {
        let mut running = BTreeMap::new();
        let Ok(entries) = std::fs::read_dir(self.run_dir().join("supervisors")) else {
            return running;
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        for entry in entries {
            let entry = entry.unwrap();
            let Ok(text) = std::fs::read_to_string(entry.path()) else { continue };
            let fields: Vec<&str> = text.trim().split(' ').collect();
            let [pid, start, _boot, closure] = fields[..] else { continue };
            let (pid, start) = (pid.parse().unwrap(), start.parse().unwrap());
            if Process::adopt(pid, start).unwrap().is_some() {
                let name = entry.file_name().into_string().unwrap();
                running.insert(name, Runs { closure: closure.into(), pid });
            }
        }
        running
    }

    /// Process of one machine.
    pub fn pid(&self, machine: &str) -> i32 {
        self.running()[machine].pid
    }

    /// Exactly `set` is in effect, and nothing of anything else is left.
    pub fn assert_in_effect(&self, set: Option<&Path>) {
        let generations = self.generations();
        let current = generations.current().unwrap();
        assert_eq!(current.map(|n| generations.set(n).unwrap()).as_deref(), set, "current");
        assert!(!self.state().join("journal").exists(), "a journal is left");
        assert!(!self.state().join("double").exists(), "a machine ran twice");
        let set = set.map(|s| hc_agent::read_set(Some(&self.store()), s).unwrap());
        let networks = set.iter().flat_map(|s| s.host.networks.keys().map(ToString::to_string));
        assert_eq!(names(&self.state().join("networks")), networks.collect::<Vec<_>>());
        let mut roots: Vec<_> =
            generations.list().unwrap().iter().map(|g| g.number.to_string()).collect();
        roots.sort();
        assert_eq!(names(&self.state().join("roots")), roots);
        let wanted: BTreeMap<_, _> = set
            .map(|s| s.machines)
            .unwrap_or_default()
            .into_iter()
            .map(|(n, c)| (n.to_string(), c))
            .collect();
        let running = self.running().into_iter().map(|(n, r)| (n, r.closure));
        assert_eq!(running.collect::<BTreeMap<_, _>>(), wanted, "what runs");
        let seen = self.client().machines().unwrap();
        let seen = seen.into_iter().map(|m| (m.name.to_string(), m.closure));
        assert_eq!(seen.collect::<BTreeMap<_, _>>(), wanted, "what the agent says");
        for directory in ["run/machines", "run/supervisors"] {
            let names = names(&self.dir.path().join(directory));
            assert!(names.iter().eq(wanted.keys()), "{directory}: {names:?}");
        }
        for directory in ["state", "state/generations"] {
            let names = names(&self.dir.path().join(directory));
            assert!(!names.iter().any(|n| n.ends_with(".tmp")), "{directory}: {names:?}");
        }
        assert_eq!(self.client().status().unwrap().problem, None);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
        if std::thread::panicking() {
            let output = std::fs::read_to_string(self.state().join("output"));
            eprintln!("output of agent and supervisors:\n{}", output.unwrap_or_default());
        }
        for runs in self.running().values() {
            if let Some(pid) = Pid::from_raw(runs.pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<_> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn hash(text: &str) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Waits for something that must come; the limit only ends a test that would hang.
pub fn until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(120), "it never came to be that {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
