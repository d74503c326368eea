//! What is for those who run the server: `/metrics`, and the gate before it and the descriptions of the API.

use std::sync::OnceLock;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use priyo_core::transport::describe;
use priyo_core::transport::http::{bearer_token, origin};
use priyo_core::{ChatEngine, Error};
use tokio::runtime::Handle;

use crate::config::{Config, Secret};

/// Bounds of the histograms of times, in seconds: from a cached read to a client that is about to give up.
const SECONDS: &[f64] =
    &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Bounds of the histograms of batch sizes.
const SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
/// How often what was measured is folded together, so that it does not grow between two scrapes.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Tasks of the runtime that have not ended: more and more of them, while no more is asked of the server, is a leak.
const TASKS: &str = "priyo_tasks";

/// Starts measuring. There is one recorder in a process, however many servers are in it; a host program's own
/// stays, and `/metrics` is then empty. Comes before the engine is built.
pub(crate) fn start_measuring() {
    let Some(recorder) = recorder() else { return };
    describe_gauge!(TASKS, "Tasks that have not ended");
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(UPKEEP_EVERY);
        loop {
            tick.tick().await;
            recorder.run_upkeep();
        }
    });
}

fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let install = || {
        let builder = PrometheusBuilder::new();
        let builder = builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS).ok()?;
        let builder = builder.set_buckets_for_metric(Matcher::Suffix("_messages".to_owned()), SIZES).ok()?;
        let builder = builder.set_buckets_for_metric(Matcher::Suffix("_calls".to_owned()), SIZES).ok()?;
        builder.install_recorder().ok()
    };
    RECORDER.get_or_init(install).as_ref()
}

/// The routes for operators. In production they need the token of an ADMIN, or `METRICS_TOKEN`.
pub(crate) fn routes(engine: &ChatEngine, config: &Config) -> Router {
    let routes = Router::new().route("/metrics", get(metrics)).merge(describe::router(engine));
    if !config.is_production() {
        return routes;
    }
    let gate = Gate { engine: engine.clone(), token: config.metrics_token.clone() };
    routes.layer(from_fn_with_state(gate, guard))
}

async fn metrics() -> Response {
    let tasks = Handle::current().metrics().num_alive_tasks();
    gauge!(TASKS).set(f64::from(u32::try_from(tasks).unwrap_or(u32::MAX)));
    let text = recorder().map(PrometheusHandle::render).unwrap_or_default();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

#[derive(Clone)]
struct Gate {
    engine: ChatEngine,
    token: Option<Secret>,
}

async fn guard(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match gate.admits(&head).await {
        Ok(()) => next.run(Request::from_parts(head, body)).await,
        Err(error) => error.into_response(),
    }
}

impl Gate {
    async fn admits(&self, head: &Parts) -> Result<(), Error> {
        let token = bearer_token(&head.headers)?;
        if self.token.as_ref().is_some_and(|known| known.is(token)) {
            return Ok(());
        }
        let caller = self.engine.authenticate(token).await?.with_origin(origin(head));
        self.engine.require_admin(&caller, "read_what_is_for_operators")
    }
}
