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

/// Asks a process to end.
pub(super) fn terminate(pid: u32) -> Result<()> {
    workspace::run(Command::new("kill").args(["-TERM", &pid.to_string()]))
}

/// How many files this process may open; those that we start inherit it.
pub(super) fn open_files_max() -> Result<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").context("/proc/self/limits")?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    soft.context("/proc/self/limits has no number of open files")
}
