//! What runs met: a run that met nothing has checked nothing, and this shows it.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

/// Counters by name, and the states of the cluster that were seen.
#[derive(Clone, Debug, Default)]
pub struct Met {
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Everything else worth counting.
    pub events: BTreeMap<&'static str, u64>,
    /// Hashes of summaries of the cluster's state.
    pub states: HashSet<u64>,
    /// Histories that were judged: one per key or session.
    pub histories: u64,
    /// Client operations that were judged.
    pub operations: u64,
}

impl Met {
    pub(crate) fn fault(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
    }

    pub(crate) fn event(&mut self, kind: &'static str) {
        *self.events.entry(kind).or_default() += 1;
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Met) {
        for (kind, count) in &other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        for (kind, count) in &other.events {
            *self.events.entry(kind).or_default() += count;
        }
        self.states.extend(&other.states);
        self.histories += other.histories;
        self.operations += other.operations;
    }

    /// How often something happened, fault or not.
    #[must_use]
    pub fn count(&self, kind: &str) -> u64 {
        let faults = self.faults.get(kind).copied().unwrap_or(0);
        faults + self.events.get(kind).copied().unwrap_or(0)
    }
}

impl fmt::Display for Met {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "distinct states  {}", self.states.len())?;
        writeln!(f, "histories        {} with {} operations", self.histories, self.operations)?;
        writeln!(f, "faults")?;
        for (kind, count) in &self.faults {
            writeln!(f, "  {kind:<34} {count}")?;
        }
        writeln!(f, "met")?;
        for (kind, count) in &self.events {
            writeln!(f, "  {kind:<34} {count}")?;
        }
        Ok(())
    }
}
