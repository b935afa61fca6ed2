//! A leader and its follower: started, joined, asked how far they are, stopped.
//!
//! Offsets are what INFO calls them: records with Trefoil, bytes of the replication stream with Valkey.
//! Only their differences and equality are used. Dropping a pair kills both processes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::bench::connection::Connection;
use crate::bench::load::{self, Load, Measured};
use crate::bench::process::{self, Signal};
use crate::bench::sections::{EVERY_SECOND, Plan};
use crate::bench::servers::{CLIENT_CORE, Durability, Running, SERVER_CORE, Server, free_port};

/// How often a follower is asked whether it has caught up.
const ASK_EVERY: Duration = Duration::from_millis(1);

/// What INFO calls work that would disturb a measurement.
const BACKGROUND_WORK: [&str; 3] =
    ["aof_rewrite_scheduled", "aof_rewrite_in_progress", "rdb_bgsave_in_progress"];

/// Longest wait for a follower.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(120);

/// Connections have been used and caches are warm after so long, in seconds.
const WARM_UP_SECONDS: f64 = 0.3;

/// Both processes.
pub(super) struct Pair {
    server: Server,
    pub(super) leader: Running,
    pub(super) follower: Running,
}

/// What a load cost both.
pub(super) struct Cost {
    pub(super) measured: Measured,
    /// CPU per request in microseconds, from the first request until the follower has the last.
    pub(super) leader_us: f64,
    pub(super) follower_us: f64,
}

impl Pair {
    /// Two servers on empty folders that know nothing of each other.
    pub(super) fn apart(plan: &Plan, server: Server, follower: Durability) -> Result<Pair> {
        let folder = plan.folder(server);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        let start = |core, name: &str, durability| {
            server.start_on(core, &folder.join(name), durability, &options(server)?)
        };
        let leader = start(SERVER_CORE, "leader", EVERY_SECOND).context("the leader")?;
        let follower = start(CLIENT_CORE, "follower", follower).context("the follower")?;
        Ok(Pair { server, leader, follower })
    }

    /// A leader that holds `keys` keys, and a follower that has them as well.
    pub(super) fn filled(
        plan: &Plan,
        server: Server,
        follower: Durability,
        keys: u64,
    ) -> Result<Pair> {
        let pair = Pair::apart(plan, server, follower)?;
        load::preload(&pair.leader, keys)?;
        pair.join()?;
        pair.await_caught_up()?;
        pair.await_quiet()?;
        Ok(pair)
    }

    /// Waits until nobody writes a snapshot or rewrites an AOF, as Valkey's replica does when it has
    /// joined.
    fn await_quiet(&self) -> Result<()> {
        for running in [&self.leader, &self.follower] {
            let mut connection = running.connect()?;
            for field in BACKGROUND_WORK {
                // Who has no such work does not tell of it.
                while connection.info_number("persistence", field).is_ok_and(|count| count > 0.0) {
                    std::thread::sleep(ASK_EVERY);
                }
            }
        }
        Ok(())
    }

    /// Tells the follower whom to follow.
    pub(super) fn join(&self) -> Result<()> {
        let port = self.leader.port.to_string();
        self.follower.connect()?.call(&["REPLICAOF", "127.0.0.1", &port]).map(drop)
    }

    /// When the leader acknowledges, as Trefoil's keyspace says it.
    pub(super) fn set_acks(&self, acks: &str, level: &str) -> Result<()> {
        let words = ["KEYSPACE", "ALTER", "default", "acks", acks, "ack-level", level];
        self.leader.connect()?.call(&words).map(drop)
    }

    /// Puts a load on the leader, closed loop, and counts what it costs both. The load's own warm-up
    /// is replaced by a short load before it, so that all requests that are counted are costed.
    pub(super) fn cost(&self, load: &Load) -> Result<Cost> {
        let load = Load { warmup_seconds: 0.0, ..*load };
        load::run(&self.leader, &Load { seconds: WARM_UP_SECONDS, ..load })?;
        self.await_caught_up()?;
        let spent = || -> Result<(f64, f64)> {
            let of = |running: &Running| process::threads_cpu_seconds(running.pid());
            Ok((of(&self.leader)?, of(&self.follower)?))
        };
        let before = spent()?;
        let measured = load::run(&self.leader, &load)?;
        self.await_caught_up()?;
        let after = spent()?;
        let each = 1e6 / measured.requests;
        let leader_us = (after.0 - before.0) * each;
        Ok(Cost { measured, leader_us, follower_us: (after.1 - before.1) * each })
    }

    /// Waits until the follower shows what the leader had written when it was asked first.
    pub(super) fn await_caught_up(&self) -> Result<()> {
        let began = Instant::now();
        let mut follower = Follower { running: &self.follower, connection: None };
        let mut end = None;
        loop {
            // A follower that loads may refuse to answer, and may close what was open.
            if let Some(applied) = follower.applied() {
                let end = match end {
                    Some(end) => end,
                    None => *end.insert(self.written(&mut self.leader.connect()?)?),
                };
                if applied >= end {
                    return Ok(());
                }
            }
            if began.elapsed() > CATCH_UP_LIMIT {
                bail!("{} did not catch up in {CATCH_UP_LIMIT:?}", self.server);
            }
            std::thread::sleep(ASK_EVERY);
        }
    }

    /// How far the leader has written; `connection` is one to the leader.
    pub(super) fn written(&self, connection: &mut Connection) -> Result<f64> {
        connection.info_number("replication", "master_repl_offset")
    }

    /// How far the follower shows it; `connection` is one to the follower.
    pub(super) fn applied(&self, connection: &mut Connection) -> Result<f64> {
        connection.info_number("replication", "slave_repl_offset")
    }

    /// The follower stands still, or goes on.
    pub(super) fn tell_follower(&self, signal: Signal) -> Result<()> {
        process::tell(self.follower.pid(), signal)
    }

    /// A clean stop of both.
    pub(super) fn stop(self) -> Result<()> {
        self.follower.stop().context("the follower")?;
        self.leader.stop().context("the leader")
    }
}

/// A follower that is asked again and again.
struct Follower<'a> {
    running: &'a Running,
    connection: Option<Connection>,
}

impl Follower<'_> {
    /// How far it is, if it has a link and loads nothing.
    fn applied(&mut self) -> Option<f64> {
        let mut connection = self.connection.take().or_else(|| self.running.connect().ok())?;
        let text = connection.call(&["INFO", "replication"]).ok()?;
        self.connection = Some(connection);
        let value = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        let is_ready = value("master_link_status") == Some("up")
            && value("master_sync_in_progress") == Some("0");
        value("slave_repl_offset").filter(|_| is_ready)?.parse().ok()
    }
}

/// What a pair needs besides the options of a single server.
fn options(server: Server) -> Result<Vec<String>> {
    let line = match server {
        Server::Trefoil => format!("--peer 127.0.0.1:{} --http off", free_port()?),
        // Its snapshot starts at once, and a replica that is behind is not dropped.
        Server::Valkey => "--repl-diskless-sync-delay 0 --client-output-buffer-limit".to_owned(),
        Server::Kevy => bail!("{server} is not compared in replication"),
    };
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    if server == Server::Valkey {
        words.push("replica 0 0 0".to_owned());
    }
    Ok(words)
}
