//! What the kernel says about a process, and how one is stopped.

use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace;

/// Resident memory in bytes.
pub(super) fn resident_bytes(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kib.with_context(|| format!("{path} has no VmRSS"))? * 1024.0)
}

/// CPU time of all threads so far, in seconds, to a hundredth.
pub(super) fn cpu_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The second field is the name in parentheses and may hold spaces: count from its end.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    let spent = ticks(11).zip(ticks(12)).map(|(user, system)| user + system);
    // Linux shows 100 ticks a second to programs, whatever its own timer does.
    Ok(spent.with_context(|| format!("{path} has no times"))? / 100.0)
}

/// CPU time of all its living threads so far, in seconds, as fine as the scheduler counts.
pub(super) fn threads_cpu_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/task");
    let mut nanoseconds = 0.0;
    for entry in std::fs::read_dir(&path).with_context(|| format!("cannot read {path}"))? {
        // A thread that ends between the two readings does not count; servers keep theirs.
        let text = std::fs::read_to_string(entry?.path().join("schedstat")).unwrap_or_default();
        nanoseconds += text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
    }
    Ok(nanoseconds / 1e9)
}

/// What a process can be told.
#[derive(Clone, Copy)]
pub(super) enum Signal {
    /// End.
    Terminate,
    /// End early, with a report: the load generator's Ctrl-C.
    Interrupt,
    /// Stand still.
    Stop,
    /// Go on.
    Continue,
}

/// Tells a process something.
pub(super) fn tell(pid: u32, signal: Signal) -> Result<()> {
    let name = match signal {
        Signal::Terminate => "-TERM",
        Signal::Interrupt => "-INT",
        Signal::Stop => "-STOP",
        Signal::Continue => "-CONT",
    };
    workspace::run(Command::new("kill").args([name, &pid.to_string()]))
}

/// How many files this process may open; those that we start inherit it.
pub(super) fn open_files_max() -> Result<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").context("/proc/self/limits")?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    soft.context("/proc/self/limits has no number of open files")
}
