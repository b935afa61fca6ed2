//! What is known of the process, with the names that all exporters use, and whether it serves.

use std::fs;

use super::metric::{Kind, Measure, Metric, Samples, Seen, Source, info};
use crate::host;
use crate::readiness::readiness;
use crate::release;

type Read = fn(Option<&Seen<'_>>, &mut Samples<'_>) -> std::fmt::Result;

const fn always(name: &'static str, help: &'static str, kind: Kind, read: Read) -> Metric {
    let source = Source::Always(read);
    Metric { name, kind, measure: Measure::Plain, labels: &[], help, source }
}

pub(super) const METRICS: &[Metric] = &[
    always(
        "trefoil_ready",
        "1 if clients are served, 0 while data is loaded or what it holds is not known to be committed.",
        Kind::Gauge,
        |seen, out| out.put(seen.is_some_and(|seen| readiness(seen.node).is_ok())),
    ),
    always(
        "process_cpu",
        "Processor time used, in the process and in the kernel.",
        Kind::Counter,
        |_, out| {
            let cpu = host::cpu();
            out.put(cpu.user + cpu.system)
        },
    )
    .seconds(),
    always(
        "process_resident_memory",
        "Memory of the process that is in RAM.",
        Kind::Gauge,
        |_, out| out.put(host::resident_bytes()),
    )
    .bytes(),
    always("process_open_fds", "Files and sockets that are open.", Kind::Gauge, |_, out| {
        let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        out.put(open)
    }),
    info("trefoil", "Which version runs, and which one of Redis it is like.", |_, out| {
        out.put_for(&[release::TREFOIL_VERSION, release::REDIS_VERSION], 1u64)
    })
    .labels(&["version", "redis_version"]),
];
