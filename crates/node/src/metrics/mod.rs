//! What a node tells to Prometheus: every number of INFO, and how replication stands.
//!
//! Each metric is declared once, with the function that reads it; the text for a scrape and
//! docs/METRICS.md come from the same tables. Reading takes no lock that a command waits for long.
//!
//! Invariants: a counter falls only by a restart or by CONFIG RESETSTAT; a name that was released is
//! not given another meaning.

mod data;
mod links;
mod metric;
mod process;
mod replication;
mod server;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;

use crate::node::Node;
use metric::{Metric, Seen};

/// The media type of [`exposition`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The chapters of the documentation, in its order.
const CHAPTERS: &[(&str, &[Metric])] = &[
    ("The process", process::METRICS),
    ("Clients and commands", server::METRICS),
    ("Data, log and snapshots", data::METRICS),
    ("Replication", replication::METRICS),
    ("Followers, as their leader sees them", links::OF_FOLLOWERS),
    ("The leader, as its follower sees it", links::OF_LEADER),
];

/// All metrics in the text format of OpenMetrics. The node is None while it loads its data: then there
/// is only what is known without it.
#[must_use]
pub fn exposition(node: Option<&Arc<Node>>, now_ms: u64) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape { node: node.cloned(), now_ms }));
    let mut out = String::new();
    text::encode(&mut out, &registry).expect("a string takes any text");
    out
}

/// One answer.
struct Scrape {
    node: Option<Arc<Node>>,
    now_ms: u64,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrape").field("now_ms", &self.now_ms).finish_non_exhaustive()
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let seen = self.node.as_deref().map(|node| Seen::new(node, self.now_ms));
        for metric in CHAPTERS.iter().flat_map(|(_, metrics)| *metrics) {
            metric.encode(seen.as_ref(), &mut encoder)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
