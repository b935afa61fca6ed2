//! A metric as it is declared, and how its values get into an answer.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Unit;

use crate::counters::Totals;
use crate::node::Node;
use crate::replication::{FollowerRow, LeaderLink};

/// What metrics are read from: sampled once for all of them.
pub(super) struct Seen<'a> {
    pub(super) node: &'a Node,
    pub(super) now_ms: u64,
    pub(super) totals: Totals,
    pub(super) followers: Arc<[FollowerRow]>,
    pub(super) leader: Option<LeaderLink>,
}

impl Seen<'_> {
    pub(super) fn new(node: &Node, now_ms: u64) -> Seen<'_> {
        Seen {
            node,
            now_ms,
            totals: node.counters.totals(),
            followers: node.replication.followers(),
            leader: node.replication.leader(),
        }
    }
}

/// How values come and go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Only rises; its name ends in `_total`.
    Counter,
    /// A value at a moment.
    Gauge,
    /// Always 1; the labels are what it says. Its name ends in `_info`.
    Info,
}

/// What a value counts, the end of its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Measure {
    /// Things.
    Plain,
    Bytes,
    Seconds,
}

/// Where values are read.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// There, even while data is loaded (then there is no node).
    Always(fn(Option<&Seen<'_>>, &mut Samples<'_>) -> fmt::Result),
    /// In a node.
    Node(fn(&Seen<'_>, &mut Samples<'_>) -> fmt::Result),
}

/// A metric, declared once.
#[derive(Clone, Copy)]
pub(super) struct Metric {
    /// Without what measure and kind add to it.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) measure: Measure,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
    pub(super) source: Source,
}

type Read = fn(&Seen<'_>, &mut Samples<'_>) -> fmt::Result;

const fn metric(name: &'static str, help: &'static str, kind: Kind, read: Read) -> Metric {
    let source = Source::Node(read);
    Metric { name, kind, measure: Measure::Plain, labels: &[], help, source }
}

pub(super) const fn counter(name: &'static str, help: &'static str, read: Read) -> Metric {
    metric(name, help, Kind::Counter, read)
}

pub(super) const fn gauge(name: &'static str, help: &'static str, read: Read) -> Metric {
    metric(name, help, Kind::Gauge, read)
}

pub(super) const fn info(name: &'static str, help: &'static str, read: Read) -> Metric {
    metric(name, help, Kind::Info, read)
}

impl Metric {
    pub(super) const fn bytes(self) -> Metric {
        Metric { measure: Measure::Bytes, ..self }
    }

    pub(super) const fn seconds(self) -> Metric {
        Metric { measure: Measure::Seconds, ..self }
    }

    pub(super) const fn labels(self, labels: &'static [&'static str]) -> Metric {
        Metric { labels, ..self }
    }

    /// The name as Prometheus shows it.
    #[cfg(test)]
    pub(super) fn full_name(&self) -> String {
        let measure = match self.measure {
            Measure::Plain => "",
            Measure::Bytes => "_bytes",
            Measure::Seconds => "_seconds",
        };
        let kind = match self.kind {
            Kind::Counter => "_total",
            Kind::Gauge => "",
            Kind::Info => "_info",
        };
        format!("{}{measure}{kind}", self.name)
    }

    /// Writes it with its values, if it has any now.
    pub(super) fn encode(
        &self,
        seen: Option<&Seen<'_>>,
        encoder: &mut DescriptorEncoder<'_>,
    ) -> fmt::Result {
        let unit = match self.measure {
            Measure::Plain => None,
            Measure::Bytes => Some(Unit::Bytes),
            Measure::Seconds => Some(Unit::Seconds),
        };
        let kind = match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Info => MetricType::Info,
        };
        if matches!(self.source, Source::Node(_)) && seen.is_none() {
            return Ok(());
        }
        let encoder = encoder.encode_descriptor(self.name, self.help, unit.as_ref(), kind)?;
        let mut out = Samples { encoder, metric: *self };
        match (self.source, seen) {
            (Source::Node(read), Some(seen)) => read(seen, &mut out),
            (Source::Node(_), None) => Ok(()),
            (Source::Always(read), seen) => read(seen, &mut out),
        }
    }
}

/// A value.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Whole(u64),
    Real(f64),
}

impl From<u64> for Number {
    fn from(value: u64) -> Number {
        Number::Whole(value)
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Number {
        Number::Whole(value as u64)
    }
}

impl From<bool> for Number {
    fn from(value: bool) -> Number {
        Number::Whole(u64::from(value))
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Number {
        Number::Real(value)
    }
}

/// A sum of tallies; below zero for a moment while its parts change.
impl From<i64> for Number {
    fn from(value: i64) -> Number {
        Number::Whole(u64::try_from(value).unwrap_or(0))
    }
}

/// Milliseconds as seconds.
pub(super) fn seconds(millis: u64) -> f64 {
    millis as f64 / 1_000.0
}

/// Takes the values of one metric.
pub(super) struct Samples<'a> {
    encoder: MetricEncoder<'a>,
    metric: Metric,
}

impl Samples<'_> {
    /// The value of a metric without labels.
    pub(super) fn put(&mut self, value: impl Into<Number>) -> fmt::Result {
        put(&mut self.encoder, self.metric.kind, value.into())
    }

    /// A value for these labels' values, which are in the order of the declaration.
    pub(super) fn put_for(&mut self, values: &[&str], value: impl Into<Number>) -> fmt::Result {
        debug_assert_eq!(values.len(), self.metric.labels.len(), "{}", self.metric.name);
        let labels: Vec<(&str, &str)> =
            self.metric.labels.iter().copied().zip(values.iter().copied()).collect();
        if self.metric.kind == Kind::Info {
            return self.encoder.encode_info(&labels);
        }
        put(&mut self.encoder.encode_family(&labels)?, self.metric.kind, value.into())
    }

    /// 1 for the one of several states that is now, 0 for the others; the state is the last label.
    pub(super) fn put_state(&mut self, values: &[&str], all: &[&str], now: &str) -> fmt::Result {
        for state in all {
            self.put_for(&[values, &[state]].concat(), *state == now)?;
        }
        Ok(())
    }
}

fn put(encoder: &mut MetricEncoder<'_>, kind: Kind, value: Number) -> fmt::Result {
    const NONE: Option<&Exemplar<NoLabelSet, f64>> = None;
    match (kind, value) {
        (Kind::Counter, Number::Whole(value)) => encoder.encode_counter(&value, NONE),
        (Kind::Counter, Number::Real(value)) => encoder.encode_counter(&value, NONE),
        (_, Number::Whole(value)) => encoder.encode_gauge(&value),
        (_, Number::Real(value)) => encoder.encode_gauge(&value),
    }
}
