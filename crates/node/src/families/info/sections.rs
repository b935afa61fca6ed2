//! The sections of INFO.

use std::sync::atomic::Ordering::Relaxed;

use super::cluster::cluster;
use super::host;
use super::replication::{self, replication};
use super::text::Lines;
use crate::config;
use crate::counters::{Calls, Totals};
use crate::log::LogHealth;
use crate::node::Node;
use crate::pubsub::hub::Kind;
use crate::release;
use crate::snapshot::changes_since;
use crate::table::{Entry, TABLE};

/// What sections are written from.
pub(super) struct Seen<'a> {
    pub(super) node: &'a Node,
    pub(super) now_ms: u64,
    pub(super) counters: Totals,
}

/// A section.
pub(super) struct Section {
    pub(super) title: &'static str,
    /// Shown when no section is asked for.
    pub(super) is_default: bool,
    pub(super) write: fn(&Seen<'_>, &mut Lines),
}

const fn section(title: &'static str, write: fn(&Seen<'_>, &mut Lines)) -> Section {
    Section { title, is_default: true, write }
}

/// All sections, in Redis's order.
pub(super) const ALL: &[Section] = &[
    section("Server", server),
    section("Clients", clients),
    section("Memory", memory),
    section("Persistence", persistence),
    section("Stats", stats),
    section("Replication", replication),
    section("CPU", cpu),
    Section { is_default: false, ..section("Commandstats", commandstats) },
    section("Errorstats", errorstats),
    section("Cluster", cluster),
    section("Keyspace", keyspace),
];

fn server(seen: &Seen<'_>, lines: &mut Lines) {
    let Node { settings, counters, .. } = seen.node;
    let uptime_s = match counters.started_ms() {
        0 => 0,
        started_ms => seen.now_ms.saturating_sub(started_ms) / 1_000,
    };
    lines.field("redis_version", release::REDIS_VERSION);
    lines.field("server_name", "trefoil");
    lines.field("trefoil_version", release::TREFOIL_VERSION);
    lines.field("redis_mode", "standalone");
    lines.field("os", host::kernel());
    lines.field("arch_bits", usize::BITS);
    lines.field("process_id", std::process::id());
    lines.field("run_id", &seen.node.run_id);
    lines.field("tcp_port", settings.port.load(Relaxed));
    lines.field("server_time_usec", seen.now_ms * 1_000);
    lines.field("uptime_in_seconds", uptime_s);
    lines.field("uptime_in_days", uptime_s / 86_400);
    lines.field("hz", settings.hz.load(Relaxed));
    lines.field("configured_hz", settings.hz.load(Relaxed));
    lines.field("lru_clock", (seen.now_ms / 1_000) & 0x00ff_ffff);
    lines.field("worker_threads", seen.node.workers);
    let file = settings.config_file().map(|path| path.display().to_string());
    lines.field("config_file", file.unwrap_or_default());
}

fn clients(seen: &Seen<'_>, lines: &mut Lines) {
    lines.field("connected_clients", seen.node.client_counts.open());
    lines.field("maxclients", seen.node.settings.maxclients.load(Relaxed));
    lines.field("blocked_clients", seen.node.counters.waiting.load(Relaxed));
}

fn memory(seen: &Seen<'_>, lines: &mut Lines) {
    let settings = &seen.node.settings;
    let used = seen.node.keyspace.memory();
    let resident = host::resident_bytes();
    lines.bytes("used_memory", used);
    lines.bytes("used_memory_rss", resident);
    lines.bytes("used_memory_peak", seen.node.counters.memory_peak().max(used));
    lines.field("used_memory_dataset", used);
    lines.bytes("total_system_memory", host::total_bytes());
    lines.bytes("maxmemory", settings.maxmemory.load(Relaxed));
    let policy = config::POLICIES.get(usize::from(settings.maxmemory_policy.load(Relaxed)));
    lines.field("maxmemory_policy", policy.copied().unwrap_or_default());
    let ratio = if used == 0 { 0.0 } else { resident as f64 / used as f64 };
    lines.field("mem_fragmentation_ratio", format_args!("{ratio:.2}"));
    lines.field("mem_log_buffer", seen.node.log.bytes());
    lines.field("mem_allocator", "mimalloc");
}

fn persistence(seen: &Seen<'_>, lines: &mut Lines) {
    let Node { log, snapshots, keyspace, .. } = seen.node;
    let status = |ok: bool| if ok { "ok" } else { "err" };
    let seconds = |millis: Option<u64>| {
        millis.map_or("-1".to_string(), |millis| (millis / 1_000).to_string())
    };
    let writing = log.health() == LogHealth::Writing;
    lines.field("loading", 0);
    lines.field("rdb_changes_since_last_save", changes_since(seen.node));
    lines.field("rdb_bgsave_in_progress", u8::from(snapshots.in_progress()));
    lines.field("rdb_last_save_time", snapshots.last_success_s());
    lines.field("rdb_last_bgsave_status", status(!snapshots.last_failed()));
    lines.field("rdb_last_bgsave_time_sec", seconds(snapshots.last_duration_ms()));
    lines.field("aof_enabled", 1);
    lines.field("aof_rewrite_in_progress", 0);
    lines.field("aof_rewrite_scheduled", 0);
    lines.field("aof_last_bgrewrite_status", "ok");
    lines.field("aof_last_write_status", status(writing));
    lines.field("log_fsync", log.fsync().name());
    lines.field("log_epoch", seen.node.replication.epoch().0);
    lines.field("log_last_lsn", keyspace.sequencer().last_lsn().0);
    lines.field("log_written_lsn", log.appended().0);
    lines.field("log_durable_lsn", log.durable().0);
    lines.field("log_bytes_written", log.bytes_logged());
    lines.field("log_bytes_queued", log.bytes());
}

fn stats(seen: &Seen<'_>, lines: &mut Lines) {
    let Node { keyspace, counters, client_counts, hub, .. } = seen.node;
    let (totals, rates) = (seen.counters, counters.rates());
    let kilobytes = |bytes: u64| format!("{:.2}", bytes as f64 / 1024.0);
    lines.field("total_connections_received", client_counts.accepted());
    lines.field("total_commands_processed", totals.commands);
    lines.field("instantaneous_ops_per_sec", rates.commands);
    lines.field("total_net_input_bytes", totals.input_bytes);
    lines.field("total_net_output_bytes", totals.output_bytes);
    lines.field("instantaneous_input_kbps", kilobytes(rates.input_bytes));
    lines.field("instantaneous_output_kbps", kilobytes(rates.output_bytes));
    lines.field("rejected_connections", client_counts.refused());
    lines.field("expired_keys", keyspace.sum(|tally| &tally.expired));
    lines.field("evicted_keys", keyspace.sum(|tally| &tally.evicted));
    lines.field("keyspace_hits", keyspace.sum(|tally| &tally.hits));
    lines.field("keyspace_misses", keyspace.sum(|tally| &tally.misses));
    lines.field("pubsub_channels", hub.channels(Kind::Plain, None).len());
    lines.field("pubsub_patterns", hub.patterns());
    lines.field("pubsubshard_channels", hub.channels(Kind::Shard, None).len());
    lines.field("total_records_logged", keyspace.sum(|tally| &tally.records));
    let errors: u64 = counters.errors().iter().map(|(_, count)| count).sum();
    lines.field("total_error_replies", errors);
    replication::stats(seen.node, lines);
}

fn cpu(_: &Seen<'_>, lines: &mut Lines) {
    let cpu = host::cpu();
    lines.field("used_cpu_sys", format_args!("{:.6}", cpu.system));
    lines.field("used_cpu_user", format_args!("{:.6}", cpu.user));
    lines.field("used_cpu_sys_children", format_args!("{:.6}", cpu.system_children));
    lines.field("used_cpu_user_children", format_args!("{:.6}", cpu.user_children));
}

/// Without times: commands are not timed one by one.
fn commandstats(seen: &Seen<'_>, lines: &mut Lines) {
    fn write(entries: &[Entry], seen: &Seen<'_>, lines: &mut Lines) {
        for entry in entries {
            let sum = |count: fn(&Calls) -> &trefoil_store::Count| {
                seen.node.counters.sum_calls(entry.id, count)
            };
            let run = sum(|calls| &calls.run);
            let (failed, rejected) = (sum(|calls| &calls.failed), sum(|calls| &calls.rejected));
            if run + rejected > 0 {
                let counts = format!("calls={run},rejected_calls={rejected},failed_calls={failed}");
                lines.field(&format!("cmdstat_{}", entry.full_name), counts);
            }
            write(&entry.subcommands, seen, lines);
        }
    }
    write(TABLE.entries(), seen, lines);
}

fn errorstats(seen: &Seen<'_>, lines: &mut Lines) {
    for (code, count) in seen.node.counters.errors() {
        lines.field(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

fn keyspace(seen: &Seen<'_>, lines: &mut Lines) {
    let keyspace = &seen.node.keyspace;
    for db in 0..16 {
        let (keys, expires) = (keyspace.len(db), keyspace.deadlines(db));
        if keys > 0 {
            let counts = format!("keys={keys},expires={expires},avg_ttl=0");
            lines.field(&format!("db{db}"), counts);
        }
    }
}
