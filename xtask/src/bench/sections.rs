//! What is measured, section by section, for one server and one round.
//!
//! A section starts a fresh server on an empty folder, fills it, measures, and stops it. It knows
//! nothing of rounds, ratios and targets.

mod disk;
mod replication;
mod serving;

use std::fmt;
use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;

use super::figures::Figures;
use super::load;
use super::servers::{Durability, Fsync, Running, Server};

pub(super) use serving::find_rate;

/// A part of the comparison.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(super) enum Section {
    /// CPU, throughput and memory of GET and SET
    Spine,
    /// The same seen by redis-benchmark
    CrossCheck,
    /// Latency at a rate that all servers can serve
    OpenLoop,
    /// Throughput with every write on disk before its reply
    Always,
    /// Memory of idle connections
    Idle,
    /// Time until a full server serves again
    Restart,
    /// Latency and memory while a snapshot is written
    Snapshot,
    /// Writes that a follower acknowledges before their reply
    SemiSync,
    /// What a follower costs a leader that does not wait for it
    Async,
    /// A follower that joins with nothing while the leader is written to
    FullSync,
    /// How fast a follower applies, and how old is what it shows
    Apply,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no section is hidden from the command line");
        f.write_str(value.get_name())
    }
}

/// How much of everything.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    /// Keys of most sections.
    pub(super) keys: u64,
    /// Keys where loading and snapshots are measured.
    pub(super) many_keys: u64,
    /// Keys where every write waits for the disk.
    pub(super) few_keys: u64,
    /// Measured seconds of one closed loop; open loops take three times as long.
    pub(super) seconds: f64,
    pub(super) idle_connections: u32,
}

impl Scale {
    /// What the document shows.
    pub(super) const FULL: Scale = Scale {
        keys: 1_000_000,
        many_keys: 5_000_000,
        few_keys: 100_000,
        seconds: 5.0,
        idle_connections: 10_000,
    };

    /// To see whether it works.
    pub(super) const QUICK: Scale = Scale {
        keys: 100_000,
        many_keys: 500_000,
        few_keys: 10_000,
        seconds: 0.5,
        idle_connections: 1_000,
    };
}

/// What all sections need to know.
pub(super) struct Plan {
    pub(super) servers: Vec<Server>,
    pub(super) scale: Scale,
    /// An empty folder, for all data.
    pub(super) scratch: PathBuf,
}

impl Plan {
    /// A server on an empty folder.
    fn fresh(&self, server: Server, durability: Durability) -> Result<Running> {
        let folder = self.folder(server);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        server.start(&folder, durability)
    }

    /// A fresh server that holds `keys` keys.
    fn filled(&self, server: Server, durability: Durability, keys: u64) -> Result<Running> {
        let running = self.fresh(server, durability)?;
        load::preload(&running, keys)?;
        Ok(running)
    }

    fn folder(&self, server: Server) -> PathBuf {
        self.scratch.join(format!("{server:?}").to_lowercase())
    }
}

const EVERY_SECOND: Durability = Durability::Log(Fsync::EverySecond);

impl Section {
    /// In the order of the document.
    pub(super) const ALL: [Section; 11] = [
        Section::Spine,
        Section::CrossCheck,
        Section::OpenLoop,
        Section::Always,
        Section::Idle,
        Section::Restart,
        Section::Snapshot,
        Section::SemiSync,
        Section::Async,
        Section::FullSync,
        Section::Apply,
    ];

    /// Whether it compares with Valkey alone: kevy's snapshots are of another kind, and the issue on
    /// replication names Valkey.
    fn leaves_kevy_out(self) -> bool {
        matches!(
            self,
            Section::Restart
                | Section::Snapshot
                | Section::SemiSync
                | Section::Async
                | Section::FullSync
                | Section::Apply
        )
    }

    /// Whether the section offers load at a share of Valkey's maximum.
    pub(super) fn needs_rate(self) -> bool {
        matches!(self, Section::OpenLoop | Section::Snapshot)
    }

    /// Measures one server once.
    pub(super) fn measure(self, plan: &Plan, server: Server, into: &mut Figures) -> Result<()> {
        if self.leaves_kevy_out() && server == Server::Kevy {
            return Ok(());
        }
        match self {
            Section::Spine => serving::spine(plan, server, into),
            Section::CrossCheck => serving::cross_check(plan, server, into),
            Section::OpenLoop => serving::open_loop(plan, server, into),
            Section::Always => disk::always(plan, server, into),
            Section::Idle => serving::idle(plan, server, into),
            Section::Restart => disk::restart(plan, server, into),
            Section::Snapshot => disk::snapshot(plan, server, into),
            Section::SemiSync => replication::semi_sync(plan, server, into),
            Section::Async => replication::asynchronous(plan, server, into),
            Section::FullSync => replication::full_sync(plan, server, into),
            Section::Apply => replication::apply(plan, server, into),
        }
    }
}
