//! HTTP over the socket: which request does what.

use crate::activate::{Activate, Wanted, plain_path};
use crate::agent::Agent;
use crate::error::AgentError;
use crate::forks;
use crate::networks::OverlayView;
use crate::serve::Peer;
use crate::wire::{
    ActivateRequest, Activation, ApiError, EvaluateAnswer, EvaluateRequest, Failure, MachineView,
    RollbackRequest, ShutdownRequest,
};
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hc_spec::Name;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

type Shared = State<Arc<Agent>>;
type Answer<T> = std::result::Result<Json<T>, Refusal>;

pub(crate) fn router(agent: Arc<Agent>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/activate", post(activate))
        .route("/v1/rollback", post(rollback))
        .route("/v1/generations", get(generations))
        .route("/v1/machines", get(machines))
        .route("/v1/machines/{name}/{verb}", post(verb))
        .route("/v1/network", post(network))
        .route("/v1/overlay", get(overlay))
        .route("/v1/evaluate", post(evaluate))
        .route("/v1/shutdown", post(shutdown))
        .fallback(|| async {
            refusal(StatusCode::NOT_FOUND, "no-such-call", "this agent has no such call".into())
        })
        .with_state(agent)
}

/// What goes wrong, with its HTTP status.
pub(crate) struct Refusal(StatusCode, ApiError);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

fn refusal(status: StatusCode, kind: &str, message: String) -> Refusal {
    Refusal(status, ApiError { kind: kind.into(), message, hint: None })
}

impl From<AgentError> for Refusal {
    fn from(error: AgentError) -> Self {
        let status = match &error {
            AgentError::Busy { .. } => StatusCode::CONFLICT,
            AgentError::NoGeneration(_) | AgentError::NoPrevious | AgentError::NoMachine(_) => {
                StatusCode::NOT_FOUND
            }
            AgentError::Set { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let hint = error.hint().map(Into::into);
        Self(status, ApiError { kind: error.kind().into(), message: error.to_string(), hint })
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        refusal(rejection.status(), "bad-request", rejection.body_text())
    }
}

#[derive(Deserialize)]
struct Waiting {
    #[serde(default)]
    wait: bool,
}

/// Goes on when the client has gone: half an activation is not what it asked for either.
async fn detached<T: Send + 'static>(
    work: impl Future<Output = std::result::Result<T, Refusal>> + Send + 'static,
) -> Answer<T> {
    match tokio::spawn(work).await {
        Ok(done) => done.map(Json),
        Err(error) => {
            let message = format!("the agent could not finish this: {error}");
            Err(refusal(StatusCode::INTERNAL_SERVER_ERROR, "internal", message))
        }
    }
}

async fn status(State(agent): Shared) -> Answer<crate::wire::AgentStatus> {
    Ok(Json(agent.status()?))
}

async fn generations(State(agent): Shared) -> Answer<Vec<crate::Generation>> {
    Ok(Json(agent.generations.list()?))
}

async fn machines(State(agent): Shared) -> Json<Vec<MachineView>> {
    agent.settled().await;
    let mut views = agent.fleet.views();
    views.extend(forks::views(&agent.config.run_dir));
    Json(views)
}

async fn network(State(agent): Shared) -> Answer<()> {
    agent.settled().await;
    Ok(Json(agent.mend().await?))
}

async fn overlay(State(agent): Shared) -> Answer<Option<OverlayView>> {
    agent.settled().await;
    Ok(Json(agent.overlay()?))
}

async fn activate(
    State(agent): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(Waiting { wait }): Query<Waiting>,
    body: Result<Json<ActivateRequest>, JsonRejection>,
) -> Answer<Activation> {
    let Json(ActivateRequest { set, timeout_sec, by }) = body?;
    let by = by.unwrap_or_else(|| peer.to_string());
    detached(async move {
        let what = format!("activating {}", set.display());
        agent.settled().await;
        let _pass = agent.enter(by, what, wait).await?;
        let timeout = timeout_sec.map(Duration::from_secs);
        Ok(Activate::to(&agent, Wanted::Set(plain_path(&set)), timeout).await?)
    })
    .await
}

async fn rollback(
    State(agent): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(Waiting { wait }): Query<Waiting>,
    body: Result<Json<RollbackRequest>, JsonRejection>,
) -> Answer<Activation> {
    let Json(RollbackRequest { to, timeout_sec, by }) = body?;
    let by = by.unwrap_or_else(|| peer.to_string());
    detached(async move {
        let what = to.map_or("rolling back".into(), |to| format!("rolling back to {to}"));
        agent.settled().await;
        let _pass = agent.enter(by, what, wait).await?;
        // Asked only now: the activation waited for may have changed it.
        let to = match to {
            Some(to) => to,
            None => agent.generations.previous()?.ok_or(AgentError::NoPrevious)?,
        };
        let timeout = timeout_sec.map(Duration::from_secs);
        Ok(Activate::to(&agent, Wanted::Generation(to), timeout).await?)
    })
    .await
}

async fn verb(
    State(agent): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path((name, verb)): Path<(String, String)>,
    Query(Waiting { wait }): Query<Waiting>,
) -> Answer<MachineView> {
    let name = Name::new(name.as_str()).map_err(|_| AgentError::NoMachine(name))?;
    detached(async move {
        agent.settled().await;
        // A fork is in no generation: nobody waits for it, and it waits for nobody.
        if let Some(fork) = forks::view(&agent.config.run_dir, &name) {
            if verb != "stop" {
                return Err(AgentError::Fork(name.to_string()).into());
            }
            return Ok(forks::stop(&agent.config.run_dir, fork).await?);
        }
        let pass = agent.enter(peer.to_string(), format!("{verb} of {name}"), wait).await?;
        let started = match verb.as_str() {
            "stop" => {
                agent.fleet.stop(&name).await?;
                false
            }
            "start" => {
                agent.fleet.start(&name)?;
                true
            }
            "restart" => {
                agent.fleet.restart(&name)?;
                true
            }
            _ => {
                let message = format!("machines do not understand '{verb}'");
                return Err(refusal(StatusCode::NOT_FOUND, "no-such-call", message));
            }
        };
        // Waiting for one machine keeps nobody from deploying.
        drop(pass);
        if started {
            agent.ready(&name).await.map_err(|failure| not_ready(&name, failure))?;
        }
        agent.publish();
        Ok(agent.fleet.view(&name)?)
    })
    .await
}

fn not_ready(name: &Name, failure: Failure) -> Refusal {
    let mut message = format!("machine '{name}' is not ready: {}", failure.reason);
    for line in failure.log {
        message.push_str("\n  ");
        message.push_str(&line);
    }
    let hint = Some(format!("hc logs {name}"));
    Refusal(StatusCode::FAILED_DEPENDENCY, ApiError { kind: "not-ready".into(), message, hint })
}

#[derive(Deserialize)]
struct Later {
    #[serde(default)]
    later: bool,
}

/// `later`: it is started for this if it does not run, and nobody waits for what it says.
async fn evaluate(
    State(agent): Shared,
    Query(Later { later }): Query<Later>,
    body: Result<Json<EvaluateRequest>, JsonRejection>,
) -> Answer<EvaluateAnswer> {
    let Json(request) = body?;
    if later {
        tokio::spawn(async move { agent.evaluator.ask(&agent.config, request, true).await });
        return Ok(Json(EvaluateAnswer { answer: None }));
    }
    // Not on a task of its own: when the client goes away, so does the evaluation.
    Ok(Json(EvaluateAnswer { answer: agent.evaluator.ask(&agent.config, request, false).await }))
}

async fn shutdown(
    State(agent): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Result<Json<ShutdownRequest>, JsonRejection>,
) -> Answer<serde_json::Value> {
    let Json(ShutdownRequest { machines }) = body?;
    detached(async move {
        if machines {
            let pass = agent.enter(peer.to_string(), "shutting down".into(), true).await?;
            agent.stop_machines().await?;
            // Kept until the process ends: nothing is started any more.
            std::mem::forget(pass);
        }
        agent.ending.notify_one();
        Ok(serde_json::json!({}))
    })
    .await
}
