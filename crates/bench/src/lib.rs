//! `trefoil bench`: a load generator for every server that speaks RESP.
//!
//! It is built to disturb what it measures as little as possible: threads with their own epoll
//! loop, requests encoded straight into one buffer per thread, replies counted and never built.
//! It is not a correctness checker: it counts replies, errors and misses, it does not compare values.
//!
//! Invariants:
//! * Closed loop: a connection has at most one batch of `--pipeline` requests under way.
//! * Open loop: a latency starts when the schedule wanted the request sent, not when it was sent.
//! * Every reply is matched to a request; a reply too many, or none for `--timeout`, ends the run.
//! * What is held is bounded: outstanding requests, unsent bytes, distinct error messages.
//!
//! The journey of a run: [`BenchArgs`] becomes a `Plan` (everything checked), `run` opens the
//! connections and starts a `Worker` per thread, each worker drives its `Connection`s with what its
//! `Workload` encodes, and the collected `stats` become a [`Report`].

mod args;
mod connection;
mod cpu;
mod greeting;
mod keys;
mod plan;
mod preload;
mod progress;
mod replies;
mod report;
mod run;
mod schedule;
mod stats;
mod table;
mod template;
mod values;
mod wakeup;
mod worker;
mod workload;

pub use args::{Arrival, BenchArgs, Distribution, Ratio, ValueSize};
pub use report::{
    ClientCost, ConfigReport, Latency, OpenLoopReport, PercentilePoint, PreloadReport, Report,
    SendLag, ServerCost,
};
pub use run::{measure, run};
