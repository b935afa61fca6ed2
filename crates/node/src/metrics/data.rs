//! The keyspace, its memory, the log and snapshots.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use trefoil_store::Keyspace;
use trefoil_store::record::codec::TABLES;

use super::metric::{Metric, Samples, Seen, counter, gauge, seconds};
use crate::host;
use crate::log::{Fsync, LogHealth};
use crate::snapshot::changes_since;

pub(super) const METRICS: &[Metric] = &[
    gauge("trefoil_keys", "Keys, by database; empty databases are not shown.", |seen, out| {
        by_database(seen, out, Keyspace::len)
    })
    .labels(&["db"]),
    gauge("trefoil_keys_expiring", "Keys that have a time to live, by database.", |seen, out| {
        by_database(seen, out, Keyspace::deadlines)
    })
    .labels(&["db"]),
    counter("trefoil_keys_expired", "Keys deleted because their time was up.", |seen, out| {
        out.put(seen.node.keyspace.sum(|tally| &tally.expired))
    }),
    counter("trefoil_keys_evicted", "Keys deleted to stay below maxmemory.", |seen, out| {
        out.put(seen.node.keyspace.sum(|tally| &tally.evicted))
    }),
    counter("trefoil_keyspace_hits", "Look-ups that found their key.", |seen, out| {
        out.put(seen.node.keyspace.sum(|tally| &tally.hits))
    }),
    counter("trefoil_keyspace_misses", "Look-ups that found nothing.", |seen, out| {
        out.put(seen.node.keyspace.sum(|tally| &tally.misses))
    }),
    gauge("trefoil_memory_used", "Memory of data: what maxmemory bounds.", |seen, out| {
        out.put(seen.node.keyspace.memory())
    })
    .bytes(),
    gauge("trefoil_memory_used_peak", "The most memory of data so far.", |seen, out| {
        out.put(seen.node.counters.memory_peak().max(seen.node.keyspace.memory()))
    })
    .bytes(),
    gauge("trefoil_memory_max", "Memory of data at most (maxmemory); 0: no limit.", |seen, out| {
        out.put(seen.node.settings.maxmemory.load(Relaxed))
    })
    .bytes(),
    gauge("trefoil_memory_system", "RAM of the host.", |_, out| out.put(host::total_bytes()))
        .bytes(),
    counter("trefoil_log_records", "Records given to the log.", |seen, out| {
        out.put(seen.node.keyspace.sum(|tally| &tally.records))
    }),
    counter(
        "trefoil_log_written",
        "Bytes of log that there are since the last snapshot that was loaded.",
        |seen, out| out.put(seen.node.log.bytes_logged()),
    )
    .bytes(),
    gauge("trefoil_log_queued", "Bytes that wait to be written to the log.", |seen, out| {
        out.put(seen.node.log.bytes())
    })
    .bytes(),
    gauge("trefoil_log_last_lsn", "The last record that was numbered.", |seen, out| {
        out.put(seen.node.keyspace.sequencer().last_lsn().0)
    }),
    gauge(
        "trefoil_log_written_lsn",
        "The last record that the operating system has.",
        |seen, out| out.put(seen.node.log.appended().0),
    ),
    gauge("trefoil_log_durable_lsn", "The last record that survives power loss.", |seen, out| {
        out.put(seen.node.log.durable().0)
    }),
    gauge("trefoil_log_healthy", "1 if the log can be written.", |seen, out| {
        out.put(seen.node.log.health() == LogHealth::Writing)
    }),
    gauge("trefoil_log_fsync", "1 for the policy by which the log is synced.", |seen, out| {
        let all = [Fsync::Always, Fsync::Everysec, Fsync::No].map(Fsync::name);
        out.put_state(&[], &all, seen.node.log.fsync().name())
    })
    .labels(&["policy"]),
    gauge("trefoil_snapshot_in_progress", "1 while a snapshot is taken.", |seen, out| {
        out.put(seen.node.snapshots.in_progress())
    }),
    gauge("trefoil_snapshot_failed", "1 if the last attempt at a snapshot failed.", |seen, out| {
        out.put(seen.node.snapshots.last_failed())
    }),
    gauge(
        "trefoil_snapshot_last_success_time",
        "When the last snapshot became valid, seconds since 1970; 0: none since the start.",
        |seen, out| out.put(seen.node.snapshots.last_success_s()),
    )
    .seconds(),
    gauge(
        "trefoil_snapshot_last_duration",
        "How long the last snapshot took; not shown before there is one.",
        |seen, out| match seen.node.snapshots.last_duration_ms() {
            Some(millis) => out.put(seconds(millis)),
            None => Ok(()),
        },
    )
    .seconds(),
    gauge("trefoil_snapshot_changes_since", "Records since the last snapshot.", |seen, out| {
        out.put(changes_since(seen.node))
    }),
];

fn by_database(
    seen: &Seen<'_>,
    out: &mut Samples<'_>,
    count: fn(&Keyspace, u8) -> u64,
) -> fmt::Result {
    let keyspace = &seen.node.keyspace;
    for db in (0..TABLES).filter(|&db| keyspace.len(db) > 0) {
        out.put_for(&[&db.to_string()], count(keyspace, db))?;
    }
    Ok(())
}
