//! What is answered to a request, without sockets.

use std::sync::{Arc, PoisonError, RwLock};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use trefoil_node::metrics;
use trefoil_node::node::Node;
use trefoil_node::readiness::readiness;

const INDEX: &str = "Trefoil\n\n\
    /metrics  numbers for Prometheus\n\
    /healthz  200 if clients are served as they expect, else 503 and why\n\
    /readyz   the same\n\
    /livez    200 while the process runs\n";

/// How far the process is.
#[derive(Default)]
pub(super) enum Stage {
    /// Data is loaded from disk.
    #[default]
    Loading,
    /// Clients are let in.
    Serving(Arc<Node>),
    /// They are not any more.
    Stopping,
}

/// See the module.
#[derive(Default)]
pub(super) struct Answers {
    stage: RwLock<Stage>,
}

impl Answers {
    pub(super) fn set_stage(&self, stage: Stage) {
        *self.stage.write().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    fn node(&self) -> Result<Arc<Node>, &'static str> {
        match &*self.stage.read().unwrap_or_else(PoisonError::into_inner) {
            Stage::Serving(node) => Ok(Arc::clone(node)),
            Stage::Loading => Err("loading"),
            Stage::Stopping => Err("stopping"),
        }
    }

    /// The answer to a request at this time, Unix milliseconds.
    pub(super) fn answer(&self, method: &Method, path: &str, now_ms: u64) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into());
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match path {
            "/" => text(StatusCode::OK, INDEX.into()),
            "/metrics" => self.metrics(now_ms),
            "/healthz" | "/readyz" => self.health(),
            "/livez" => text(StatusCode::OK, "ok\n".into()),
            _ => text(StatusCode::NOT_FOUND, "there is nothing; / tells what there is\n".into()),
        }
    }

    fn metrics(&self, now_ms: u64) -> Response<Full<Bytes>> {
        let mut response =
            text(StatusCode::OK, metrics::exposition(self.node().ok().as_ref(), now_ms));
        let kind = HeaderValue::from_static(metrics::CONTENT_TYPE);
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }

    fn health(&self) -> Response<Full<Bytes>> {
        let state = self.node().map_err(str::to_string).and_then(|node| {
            readiness(&node).map(|role| role.name()).map_err(|reason| reason.to_string())
        });
        match state {
            Ok(role) => text(StatusCode::OK, format!("ok: {role}\n")),
            Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        }
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(answers: &Answers, method: Method, path: &str) -> u16 {
        answers.answer(&method, path, 1).status().as_u16()
    }

    #[test]
    fn only_reading_is_allowed_and_only_what_there_is() {
        let answers = Answers::default();
        assert_eq!(status(&answers, Method::GET, "/"), 200);
        assert_eq!(status(&answers, Method::HEAD, "/metrics"), 200);
        assert_eq!(status(&answers, Method::POST, "/metrics"), 405);
        assert_eq!(status(&answers, Method::GET, "/metrics/"), 404);
    }

    #[test]
    fn a_node_that_loads_or_stops_lives_and_is_not_healthy() {
        let answers = Answers::default();
        for stage in [Stage::Loading, Stage::Stopping] {
            answers.set_stage(stage);
            for path in ["/healthz", "/readyz"] {
                assert_eq!(status(&answers, Method::GET, path), 503);
            }
            assert_eq!(status(&answers, Method::GET, "/livez"), 200);
        }
    }
}
