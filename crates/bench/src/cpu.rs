//! CPU time: of this thread, and of a server process on this machine, from /proc.
//!
//! The scheduler's per-thread figures count nanoseconds but forget threads that have ended; the
//! process's own figure forgets nothing but counts clock ticks of 10 ms. The first is taken unless
//! the second shows that it missed something.

use std::collections::BTreeMap;
use std::{fs, io};

use anyhow::Context;
use rustix::time::{ClockId, clock_gettime};

/// CPU time of the calling thread, in nanoseconds.
pub(crate) fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// State of a server process at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerSample {
    /// Time on CPU of each live thread, in nanoseconds. Empty if the kernel does not tell.
    threads: BTreeMap<u32, u64>,
    /// Time on CPU of the whole process, ended threads included, in clock ticks.
    ticks: u64,
    pub(crate) rss_bytes: u64,
}

impl ServerSample {
    /// Reads the state of process `pid`.
    pub(crate) fn take(pid: u32) -> anyhow::Result<Self> {
        read_sample(pid).with_context(|| {
            format!("--server-pid {pid}: cannot read /proc/{pid}. Does the process run on this machine, under your user?")
        })
    }

    pub(crate) fn thread_count(&self) -> usize {
        self.threads.len()
    }
}

fn read_sample(pid: u32) -> anyhow::Result<ServerSample> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mut threads = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let entry = entry?;
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        match fs::read_to_string(entry.path().join("schedstat")) {
            Ok(text) => {
                let on_cpu = first_number(&text).context("schedstat holds no number")?;
                threads.insert(id, on_cpu);
            }
            // The thread ended meanwhile, or the kernel was built without these figures.
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            Err(err) => return Err(err.into()),
        }
    }
    Ok(ServerSample {
        threads,
        ticks: ticks(&stat).context("stat has an unknown form")?,
        rss_bytes: rss_bytes(&status).context("status has no VmRSS")?,
    })
}

/// CPU time between two samples, in nanoseconds; `tick_ns` is the length of a clock tick.
pub(crate) fn spent_ns(from: &ServerSample, to: &ServerSample, tick_ns: u64) -> u64 {
    let by_ticks = to.ticks.saturating_sub(from.ticks) * tick_ns;
    let by_threads = to
        .threads
        .iter()
        .map(|(id, end)| end.saturating_sub(from.threads.get(id).copied().unwrap_or(0)))
        .sum();
    // Both ends of the tick figure are rounded down.
    if by_ticks > by_threads + 2 * tick_ns { by_ticks } else { by_threads }
}

/// The length of a clock tick, in nanoseconds.
pub(crate) fn tick_ns() -> u64 {
    1_000_000_000 / rustix::param::clock_ticks_per_second().max(1)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// User and system ticks in /proc/PID/stat. The command name may hold blanks and parentheses, so
/// counting starts after the last one.
fn ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn rss_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(first_number(line)? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(threads: &[(u32, u64)], ticks: u64) -> ServerSample {
        ServerSample { threads: threads.iter().copied().collect(), ticks, rss_bytes: 0 }
    }

    const TICK_NS: u64 = 10_000_000;

    #[test]
    fn threads_that_start_while_measuring_count_in_full() {
        let from = sample(&[(1, 1_000)], 0);
        let to = sample(&[(1, 5_000), (2, 700)], 0);
        assert_eq!(spent_ns(&from, &to, TICK_NS), 4_700);
    }

    #[test]
    fn threads_that_ended_are_found_in_the_process_figure() {
        let from = sample(&[(1, 0), (2, 0)], 100);
        let to = sample(&[(1, 50_000_000)], 150);
        assert_eq!(spent_ns(&from, &to, TICK_NS), 500_000_000);
    }

    #[test]
    fn strange_command_names_do_not_shift_the_fields() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 31 11 0 0 20 0 1 0 100 0 0";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (a"), None);
    }

    #[test]
    fn resident_memory_is_read_in_kibibytes() {
        assert_eq!(rss_bytes("Name:\tx\nVmRSS:\t   12 kB\n"), Some(12 * 1024));
    }

    #[test]
    fn this_process_can_be_sampled_and_a_missing_one_is_explained() {
        let sample = ServerSample::take(std::process::id()).expect("our own /proc entry");
        assert!(sample.rss_bytes > 0);
        let fault = ServerSample::take(u32::MAX).expect_err("no such process");
        assert!(fault.to_string().contains("--server-pid"), "{fault}");
    }
}
