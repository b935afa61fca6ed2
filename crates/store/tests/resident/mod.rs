//! What the operating system says of this process's memory.

/// Anonymous resident memory, bytes.
pub(crate) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells of itself");
    let line = status.lines().find(|line| line.starts_with("RssAnon")).expect("a line RssAnon");
    let kib: u64 =
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
    kib * 1024
}
