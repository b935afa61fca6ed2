//! What happens because time passes: chores of the worker, idle clients, slow clients, memory that
//! idle connections hold.
//!
//! Coarse on purpose: ten ticks a second, and each looks at a tenth of the connections.

use std::sync::atomic::Ordering::Relaxed;

use super::backlog::is_subscriber;
use super::connection::Connection;
use super::{EventLoop, TICK};

/// Ticks until every connection was looked at.
const PHASES: usize = 10;
/// How long TLS may take to be agreed on, seconds.
const HANDSHAKE_MAX_S: u32 = 10;
/// How long a peer that is to be closed may take nothing of what is left for it, seconds.
const FAREWELL_MAX_S: u32 = 60;

/// Where a worker's clock stands.
#[derive(Default)]
pub(super) struct Timers {
    /// Unix time of its first turn, seconds: the worker's clock starts there.
    origin_s: u64,
    /// Seconds since, as of the last turn.
    pub(super) now_s: u32,
    /// When the next tick is due, Unix milliseconds.
    tick_due_ms: u64,
    phase: usize,
}

impl Timers {
    /// Seconds of the worker's clock. It does not go back when the system's clock does.
    pub(super) fn now_s(&mut self, now_ms: u64) -> u32 {
        if self.origin_s == 0 {
            self.origin_s = now_ms / 1_000;
        }
        let since = (now_ms / 1_000).saturating_sub(self.origin_s);
        self.now_s = self.now_s.max(u32::try_from(since).unwrap_or(u32::MAX));
        self.now_s
    }

    /// Whether a tick is due, which it then is no more.
    fn is_due(&mut self, now_ms: u64) -> bool {
        let tick_ms = TICK.as_millis() as u64;
        // A clock that was set back must not stop the ticks.
        let due = now_ms >= self.tick_due_ms || now_ms + 2 * tick_ms < self.tick_due_ms;
        if due {
            self.tick_due_ms = now_ms + tick_ms;
            self.phase = (self.phase + 1) % PHASES;
        }
        due
    }
}

impl EventLoop {
    /// What is due at the end of a turn's commands.
    pub(super) fn run_timers(&mut self, now_ms: u64) {
        if self.timers.is_due(now_ms) {
            self.worker.on_tick();
            self.sweep(now_ms);
            self.look_at_slow();
            self.give_replies_up(now_ms);
        }
        if self.upstreams.patience().is_some() {
            self.look_at_upstreams(now_ms);
        }
        if self.worker.has_chores() {
            self.worker.do_chores();
        }
    }

    /// Looks at a share of the connections: closes those that are idle too long, and has the others
    /// give back memory.
    fn sweep(&mut self, now_ms: u64) {
        let mut idle_upstreams = Vec::new();
        let timeout_s = self.worker.node.settings.timeout_seconds.load(Relaxed);
        for key in (self.timers.phase..self.connections.capacity()).step_by(PHASES) {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            let idle_s = self.timers.now_s.saturating_sub(connection.active_s);
            if idle_s == 0 {
                continue;
            }
            connection.release_buffers();
            if connection.upstream.is_some() {
                idle_upstreams.push(key);
            }
            if is_over(connection, idle_s, timeout_s) {
                self.abort(key);
            }
        }
        for key in idle_upstreams {
            self.let_go_of_leader(key, now_ms);
        }
    }

    /// Replies that have waited for acknowledgements for too long are unknown.
    fn give_replies_up(&mut self, now_ms: u64) {
        let timeout_ms = self.worker.node.settings.freshness.ack_timeout_ms.load(Relaxed);
        if timeout_ms == 0 || self.waiting.is_empty() {
            return;
        }
        let released = self.released();
        let node = &self.worker.node;
        for &key in &self.waiting {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            let unknown = connection.give_replies_up(released, now_ms.saturating_sub(timeout_ms));
            if unknown > 0 {
                node.replication.unknown.fetch_add(unknown, Relaxed);
                if !connection.in_flush_list {
                    connection.in_flush_list = true;
                    self.flush.push(key);
                }
            }
        }
    }

    fn look_at_slow(&mut self) {
        for key in std::mem::take(&mut self.slow) {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            if connection.on_backlog_tick() {
                self.slow.push(key);
                self.on_pending(key);
            }
        }
    }
}

/// Whether a connection has been silent for too long.
fn is_over(connection: &Connection, idle_s: u32, timeout_s: u64) -> bool {
    if connection.closing {
        return idle_s > FAREWELL_MAX_S;
    }
    if connection.transport.is_handshaking() && idle_s > HANDSHAKE_MAX_S {
        return true;
    }
    timeout_s != 0
        && u64::from(idle_s) > timeout_s
        && !connection.parked
        && !connection.is_forwarding()
        && !is_subscriber(&connection.session)
}
