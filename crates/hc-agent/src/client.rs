//! Talking to an agent over its socket. Blocking: the command line has nothing else to do.

use crate::generations::Generation;
use crate::networks::OverlayView;
use crate::wire::{
    ActivateRequest, Activation, AgentStatus, ApiError, EvaluateAnswer, EvaluateRequest,
    MachineView, RollbackRequest, ShutdownRequest,
};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An agent's socket. Each call is a connection of its own.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

/// Why there is no answer, or not the one asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens on the socket.
    #[error("no agent answers on {}", socket.display())]
    NotRunning {
        /// The socket.
        socket: PathBuf,
    },
    /// The socket cannot be used.
    #[error("cannot talk to the agent on {}: {source}", socket.display())]
    Io {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The connection broke before the answer was there: the agent was killed, or refused us.
    #[error("the agent ended before it answered: {0}")]
    Broken(String),
    /// It was told to end and has not.
    #[error("the agent was told to end and still runs (its lock is {})", lock.display())]
    Stays {
        /// The lock it holds.
        lock: PathBuf,
    },
    /// The answer makes no sense, as from an agent of another version.
    #[error("the agent's answer cannot be read: {0}")]
    Answer(#[from] serde_json::Error),
    /// The agent says no.
    #[error("{}", .0.message)]
    Refused(ApiError),
}

/// A result of this module.
pub type Result<T> = std::result::Result<T, ClientError>;

impl Client {
    /// Of the agent that listens on `socket`.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What the agent is doing.
    ///
    /// # Errors
    /// [`ClientError`], as of every call.
    pub fn status(&self) -> Result<AgentStatus> {
        self.get("/v1/status")
    }

    /// Puts a machine set in effect; answers when it is, or is not. With `wait`, waits for an
    /// activation that is under way instead of being told.
    ///
    /// # Errors
    /// [`ClientError`]; having gone back is an answer, not an error.
    pub fn activate(&self, request: &ActivateRequest, wait: bool) -> Result<Activation> {
        self.post(if wait { "/v1/activate?wait=true" } else { "/v1/activate" }, request)
    }

    /// Puts an earlier generation in effect.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn rollback(&self, request: &RollbackRequest, wait: bool) -> Result<Activation> {
        self.post(if wait { "/v1/rollback?wait=true" } else { "/v1/rollback" }, request)
    }

    /// All generations, oldest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn generations(&self) -> Result<Vec<Generation>> {
        self.get("/v1/generations")
    }

    /// All machines of the current generation, by name.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn machines(&self) -> Result<Vec<MachineView>> {
        self.get("/v1/machines")
    }

    /// The overlay of the host, where it has one.
    ///
    /// # Errors
    /// [`ClientError`], as of every call.
    pub fn overlay(&self) -> Result<Option<OverlayView>> {
        self.get("/v1/overlay")
    }

    /// Starts a machine that was stopped or has ended; answers when it is ready.
    ///
    /// # Errors
    /// [`ClientError`]; of kind `not-ready` when it did not become ready.
    pub fn start(&self, machine: &str) -> Result<MachineView> {
        self.verb(machine, "start")
    }

    /// Stops a machine until [`Self::start`] or until its closure changes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn stop(&self, machine: &str) -> Result<MachineView> {
        self.verb(machine, "stop")
    }

    /// Stops and starts a machine; answers when it is ready.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn restart(&self, machine: &str) -> Result<MachineView> {
        self.verb(machine, "restart")
    }

    /// Asks the evaluators that the agent keeps warm; nothing when they cannot help. With `later`, they are
    /// given something to do for the next time, and the answer is always nothing.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn evaluate(
        &self,
        request: &EvaluateRequest,
        later: bool,
    ) -> Result<Option<serde_json::Value>> {
        let path = if later { "/v1/evaluate?later=true" } else { "/v1/evaluate" };
        Ok(self.post::<_, EvaluateAnswer>(path, request)?.answer)
    }

    /// Ends the agent, and everything it runs when `machines`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn shutdown(&self, machines: bool) -> Result<()> {
        self.post::<_, serde_json::Value>("/v1/shutdown", &ShutdownRequest { machines })?;
        Ok(())
    }

    /// Makes the network what the description and the keys of the host say, again.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn mend(&self) -> Result<()> {
        self.post("/v1/network", &serde_json::json!({}))
    }

    fn verb(&self, machine: &str, verb: &str) -> Result<MachineView> {
        // A name that is none would change the path: it is refused here, as the agent would.
        if let Err(error) = hc_spec::Name::new(machine) {
            let message = error.to_string();
            return Err(ClientError::Refused(ApiError {
                kind: "no-machine".into(),
                message,
                hint: None,
            }));
        }
        self.post(&format!("/v1/machines/{machine}/{verb}"), &serde_json::json!({}))
    }

    /// One that was killed this moment still takes a connection, and breaks it. Questions change
    /// nothing, so they are asked again until it answers or is gone.
    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        const TRIES: u32 = 100;
        for _ in 1..TRIES {
            match self.call(Method::GET, path, Vec::new()) {
                Err(ClientError::Broken(_)) => std::thread::sleep(Duration::from_millis(10)),
                answered => return answered,
            }
        }
        self.call(Method::GET, path, Vec::new())
    }

    fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T> {
        self.call(Method::POST, path, serde_json::to_vec(body)?)
    }

    fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Vec<u8>) -> Result<T> {
        let io = |source| ClientError::Io { socket: self.socket.clone(), source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let (ok, body) = runtime.map_err(io)?.block_on(self.exchange(method, path, body))?;
        if ok {
            return Ok(serde_json::from_slice(&body)?);
        }
        Err(ClientError::Refused(serde_json::from_slice(&body)?))
    }

    async fn exchange(&self, method: Method, path: &str, body: Vec<u8>) -> Result<(bool, Bytes)> {
        let stream = tokio::net::UnixStream::connect(&self.socket).await.map_err(|source| {
            let socket = self.socket.clone();
            match source.kind() {
                ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                    ClientError::NotRunning { socket }
                }
                _ => ClientError::Io { socket, source },
            }
        })?;
        let broken = |e: hyper::Error| ClientError::Broken(e.to_string());
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "agent")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| ClientError::Broken(e.to_string()))?;
        let driver = tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(broken)?;
        let ok = response.status().is_success();
        let body = response.into_body().collect().await.map_err(broken)?.to_bytes();
        drop(sender);
        driver.abort();
        Ok((ok, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_agent_is_told_from_other_errors() {
        let dir = tempfile::tempdir().unwrap();
        let client = Client::new(dir.path().join("agent.sock"));
        assert!(matches!(client.status(), Err(ClientError::NotRunning { .. })));
        // A socket nobody listens on any more, as a killed agent leaves it.
        drop(std::os::unix::net::UnixListener::bind(client.socket()).unwrap());
        assert!(matches!(client.status(), Err(ClientError::NotRunning { .. })));
        assert!(matches!(client.stop("../x"), Err(ClientError::Refused(_))));
    }

    #[test]
    fn an_agent_that_is_dying_is_not_running() {
        let dir = tempfile::tempdir().unwrap();
        let client = Client::new(dir.path().join("agent.sock"));
        let listener = std::os::unix::net::UnixListener::bind(client.socket()).unwrap();
        let dying = std::thread::spawn(move || {
            for _ in 0..2 {
                drop(listener.accept());
            }
        });
        assert!(matches!(client.status(), Err(ClientError::NotRunning { .. })));
        dying.join().unwrap();
    }
}
