//! What Trefoil promises to reach, as data, and whether it did.
//!
//! A target that was not measured is neither met nor missed.

use std::fmt;

use super::figures::Row;
use super::sections::Section;
use super::servers::Server;

/// One bound on a row.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Target {
    /// At most so many times the other server's figure.
    MostOf(Server, f64),
    /// At least so many times the other server's figure.
    LeastOf(Server, f64),
    /// At most this.
    Most(f64),
    /// At least this.
    Least(f64),
}

use Target::{Least, LeastOf, Most, MostOf};

const RECEIVED_SINGLY: &str = "SET, received (Valkey: WAIT apart), pipeline 1: throughput";
const FLUSHED_SINGLY: &str = "SET, flushed (Valkey: WAIT apart), pipeline 1: throughput";

/// Row by row, the bound against Valkey; CPU rows are bound by kevy too, throughputs by Valkey.
const TARGETS: [(Section, &str, Target); 28] = [
    (Section::Spine, "GET, pipeline 1: server CPU", MostOf(Server::Valkey, 0.88)),
    (Section::Spine, "SET, pipeline 1: server CPU", MostOf(Server::Valkey, 0.88)),
    (Section::Spine, "GET, pipeline 16: server CPU", MostOf(Server::Valkey, 0.82)),
    (Section::Spine, "SET, pipeline 16: server CPU", MostOf(Server::Valkey, 0.75)),
    (Section::Spine, "GET, pipeline 64: server CPU", MostOf(Server::Valkey, 0.75)),
    (Section::Spine, "SET, pipeline 64: server CPU", MostOf(Server::Valkey, 0.70)),
    (Section::Spine, "resident memory after preload", MostOf(Server::Valkey, 0.85)),
    (Section::OpenLoop, "p99.9 at the common rate", MostOf(Server::Valkey, 1.0)),
    (Section::Always, "SET, fsync always, pipeline 1: throughput", LeastOf(Server::Valkey, 1.3)),
    (Section::Always, "SET, fsync always, pipeline 16: throughput", LeastOf(Server::Valkey, 1.3)),
    (Section::Idle, "memory of an idle connection", Most(2048.0)),
    // 1.5 times as fast.
    (Section::Restart, "start until the first reply", MostOf(Server::Valkey, 0.667)),
    (Section::Snapshot, "p99 with over without", Most(2.0)),
    (Section::Snapshot, "extra memory of a snapshot", Most(5.0)),
    // One command at a time is SET, its reply, WAIT, its reply; a batch has its WAIT in it.
    (Section::SemiSync, RECEIVED_SINGLY, LeastOf(Server::Valkey, 3.0)),
    (Section::SemiSync, "SET, received, pipeline 16: throughput", LeastOf(Server::Valkey, 3.0)),
    (Section::SemiSync, FLUSHED_SINGLY, LeastOf(Server::Valkey, 2.0)),
    (Section::SemiSync, "SET, flushed, pipeline 16: throughput", LeastOf(Server::Valkey, 2.0)),
    (Section::Async, "SET, pipeline 1: leader CPU", MostOf(Server::Valkey, 0.75)),
    (Section::Async, "SET, pipeline 16: leader CPU", MostOf(Server::Valkey, 0.75)),
    (Section::Async, "SET, pipeline 64: leader CPU", MostOf(Server::Valkey, 0.75)),
    (Section::FullSync, "full sync", MostOf(Server::Valkey, 1.0)),
    (Section::FullSync, "leader's extra memory", Most(64.0)),
    (Section::FullSync, "p99 during over before", Most(2.0)),
    (Section::Apply, "applied over written, each alone", Least(1.0)),
    // Lag that is bounded does not grow; a percent is what two readings of it may differ by.
    (Section::Apply, "growth of the lag under full load", Most(1.0)),
    (Section::Apply, "lag that clients see at half load, p99", Most(5.0)),
    (Section::Apply, "lag that the server tells at half load, p99", Most(5.0)),
];

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MostOf(server, times) => write!(f, "≤ {times:.2} {server}"),
            LeastOf(server, times) => write!(f, "≥ {times:.2} {server}"),
            Most(bound) => write!(f, "≤ {bound}"),
            Least(bound) => write!(f, "≥ {bound}"),
        }
    }
}

impl Target {
    /// Whether a row keeps to the bound, if it can be told.
    pub(super) fn is_met(self, row: &Row) -> Option<bool> {
        match self {
            MostOf(server, times) => row.ratio_to(server).map(|ratio| ratio <= times),
            LeastOf(server, times) => row.ratio_to(server).map(|ratio| ratio >= times),
            Most(bound) => row.median(Server::Trefoil).map(|figure| figure <= bound),
            Least(bound) => row.median(Server::Trefoil).map(|figure| figure >= bound),
        }
    }
}

/// The bounds on a row.
pub(super) fn of(row: &Row) -> Vec<Target> {
    let listed =
        TARGETS.iter().filter(|(section, name, _)| *section == row.section && *name == row.name);
    let mut targets: Vec<Target> = listed.map(|(_, _, target)| *target).collect();
    if row.section == Section::Spine && row.name.ends_with("server CPU") {
        targets.push(MostOf(Server::Kevy, 1.0));
    }
    if row.section == Section::Spine && row.name.ends_with("throughput") {
        targets.push(LeastOf(Server::Valkey, 1.0));
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::Figures;

    fn judged(section: Section, name: &str, ours: f64, valkeys: f64) -> Vec<Option<bool>> {
        let mut figures = Figures::default();
        figures.add(section, name, "us", Server::Trefoil, ours);
        figures.add(section, name, "us", Server::Valkey, valkeys);
        let row = &figures.rows()[0];
        of(row).into_iter().map(|target| target.is_met(row)).collect()
    }

    #[test]
    fn cpu_is_bound_by_valkey_and_by_kevy_who_was_not_measured() {
        let name = "GET, pipeline 1: server CPU";
        assert_eq!(judged(Section::Spine, name, 0.87, 1.0), [Some(true), None]);
        assert_eq!(judged(Section::Spine, name, 0.89, 1.0), [Some(false), None]);
    }

    #[test]
    fn throughput_must_not_fall_behind_valkey() {
        let name = "GET, pipeline 1: throughput";
        assert_eq!(judged(Section::Spine, name, 100.0, 100.0), [Some(true)]);
        assert_eq!(judged(Section::Spine, name, 99.0, 100.0), [Some(false)]);
    }

    #[test]
    fn an_absolute_bound_needs_nobody_else() {
        let name = "memory of an idle connection";
        assert_eq!(judged(Section::Idle, name, 2048.0, 1.0), [Some(true)]);
        assert_eq!(judged(Section::Idle, name, 2049.0, 9999.0), [Some(false)]);
    }
}
