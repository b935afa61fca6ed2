//! What the operating system knows of the process. Where there is no /proc, fields are zero.

use std::fs;

/// Clock ticks of /proc a second: fixed by the kernel's interface.
const TICKS_PER_SECOND: f64 = 100.0;
/// Columns of /proc/self/stat behind the name, counted from the state: user and system time of this
/// process, then of children that it waited for.
const TIMES: std::ops::Range<usize> = 11..15;

/// Processor time, seconds.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cpu {
    /// In the kernel, for this process.
    pub(crate) system: f64,
    /// In the process itself.
    pub(crate) user: f64,
    /// The same of its children.
    pub(crate) system_children: f64,
    pub(crate) user_children: f64,
}

pub(crate) fn cpu() -> Cpu {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name is in parentheses and may hold anything.
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let columns: Vec<&str> = behind_name.split_whitespace().collect();
    let seconds = |at: usize| {
        let ticks: Option<f64> = columns.get(at).and_then(|ticks| ticks.parse().ok());
        ticks.unwrap_or(0.0) / TICKS_PER_SECOND
    };
    let [user, system, user_children, system_children] =
        std::array::from_fn(|i| seconds(TIMES.start + i));
    Cpu { system, user, system_children, user_children }
}

/// Memory of the process that is in RAM, bytes.
pub(crate) fn resident_bytes() -> u64 {
    kilobytes("/proc/self/status", "VmRSS:")
}

/// RAM of the host, bytes.
pub(crate) fn total_bytes() -> u64 {
    kilobytes("/proc/meminfo", "MemTotal:")
}

/// The kernel's name and release.
pub(crate) fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} {} {}", std::env::consts::OS, release.trim(), std::env::consts::ARCH)
}

fn kilobytes(path: &str, field: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}
