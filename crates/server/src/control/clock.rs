//! The clock of leases: it runs while the machine sleeps, and nobody sets it.

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds since the machine started.
pub(crate) fn uptime_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    // Neither is ever negative for this clock.
    now.tv_sec as u64 * 1_000 + now.tv_nsec as u64 / 1_000_000
}
