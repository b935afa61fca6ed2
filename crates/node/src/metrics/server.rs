//! Clients, commands and what went over the network.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use trefoil_store::Count;

use super::metric::{Metric, Samples, Seen, counter, gauge, seconds};
use crate::counters::Calls;
use crate::pubsub::hub::Kind as Channels;
use crate::table::{Entry, TABLE};

pub(super) const METRICS: &[Metric] = &[
    gauge(
        "trefoil_start_time",
        "When the node began to serve, seconds since 1970.",
        |seen, out| out.put(seconds(seen.node.counters.started_ms())),
    )
    .seconds(),
    gauge("trefoil_workers", "Threads that run commands.", |seen, out| out.put(seen.node.workers)),
    gauge("trefoil_connected_clients", "Connections of clients that are open.", |seen, out| {
        out.put(seen.node.client_counts.open())
    }),
    gauge("trefoil_max_clients", "Connections at most (maxclients).", |seen, out| {
        out.put(seen.node.settings.maxclients.load(Relaxed))
    }),
    gauge("trefoil_blocked_clients", "Clients whose command waits for something.", |seen, out| {
        out.put(seen.node.counters.waiting.load(Relaxed))
    }),
    counter("trefoil_connections_received", "Connections accepted.", |seen, out| {
        out.put(seen.node.client_counts.accepted())
    }),
    counter(
        "trefoil_connections_rejected",
        "Connections refused because there were too many.",
        |seen, out| out.put(seen.node.client_counts.refused()),
    ),
    counter("trefoil_net_input", "Bytes received from clients.", |seen, out| {
        out.put(seen.totals.input_bytes)
    })
    .bytes(),
    counter("trefoil_net_output", "Bytes sent to clients.", |seen, out| {
        out.put(seen.totals.output_bytes)
    })
    .bytes(),
    counter("trefoil_commands_processed", "Commands that ran, well or not.", |seen, out| {
        out.put(seen.totals.commands)
    }),
    counter(
        "trefoil_command_calls",
        "Commands that ran, by name; one that never ran is not shown.",
        |seen, out| by_command(seen, out, |calls| &calls.run),
    )
    .labels(&["command"]),
    counter(
        "trefoil_command_failures",
        "Commands that ran and answered an error, by name.",
        |seen, out| by_command(seen, out, |calls| &calls.failed),
    )
    .labels(&["command"]),
    counter(
        "trefoil_command_rejections",
        "Commands that were refused before they ran, by name.",
        |seen, out| by_command(seen, out, |calls| &calls.rejected),
    )
    .labels(&["command"]),
    counter(
        "trefoil_error_replies",
        "Error replies, by the word that they begin with.",
        |seen, out| {
            for (code, count) in seen.node.counters.errors() {
                out.put_for(&[&code], count)?;
            }
            Ok(())
        },
    )
    .labels(&["error"]),
    gauge("trefoil_pubsub_channels", "Channels that somebody listens to.", |seen, out| {
        let hub = &seen.node.hub;
        out.put_for(&["plain"], hub.channels(Channels::Plain, None).len())?;
        out.put_for(&["shard"], hub.channels(Channels::Shard, None).len())
    })
    .labels(&["kind"]),
    gauge("trefoil_pubsub_patterns", "Patterns that somebody listens to.", |seen, out| {
        out.put(seen.node.hub.patterns())
    }),
];

/// One sample per command that was counted, subcommands by their full names.
fn by_command(seen: &Seen<'_>, out: &mut Samples<'_>, count: fn(&Calls) -> &Count) -> fmt::Result {
    fn put(
        entries: &[Entry],
        seen: &Seen<'_>,
        out: &mut Samples<'_>,
        count: fn(&Calls) -> &Count,
    ) -> fmt::Result {
        for entry in entries {
            let calls = seen.node.counters.sum_calls(entry.id, count);
            if calls > 0 {
                out.put_for(&[&entry.full_name], calls)?;
            }
            put(&entry.subcommands, seen, out, count)?;
        }
        Ok(())
    }
    put(TABLE.entries(), seen, out, count)
}
