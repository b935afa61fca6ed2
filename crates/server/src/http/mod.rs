//! HTTP: metrics for Prometheus, health for those who decide where clients go. No data, and nothing
//! that changes anything.
//!
//! A thread of its own with a small runtime; whatever happens on it, the node goes on. It answers from
//! before the data is loaded until the process ends.
//!
//! Invariants: a bounded number of connections, each for a bounded time.

mod answers;
mod door;
mod serving;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use trefoil_node::node::Node;
use trefoil_node::settings::Settings;

use answers::{Answers, Stage};
use serving::Serving;

/// See the module.
pub(crate) struct Http {
    answers: Arc<Answers>,
    /// None: it is switched off, or its default port is taken.
    serving: Option<Serving>,
}

impl Http {
    /// Begins to answer, as `http` says.
    pub(crate) fn start(settings: &Settings) -> Result<Http> {
        let answers = Arc::new(Answers::default());
        let serving = match door::bind(settings)? {
            Some(listener) => Some(Serving::start(listener, Arc::clone(&answers))?),
            None => None,
        };
        Ok(Http { answers, serving })
    }

    /// Where it answers.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.serving.as_ref().map(|serving| serving.address)
    }

    /// Clients are let in from now on.
    pub(crate) fn on_serving(&self, node: &Arc<Node>) {
        self.answers.set_stage(Stage::Serving(Arc::clone(node)));
    }

    /// No more clients are let in.
    pub(crate) fn on_stopping(&self) {
        self.answers.set_stage(Stage::Stopping);
    }
}
