//! Names of namespaces: whose they are, and which of them nobody needs any more.

use std::fs;
use std::io::ErrorKind;

use anyhow::{Context, Result};

/// Where `ip netns` keeps them.
pub(super) const FOLDER: &str = "/run/netns";
const PREFIX: &str = "trefoil-";

/// The names of one process's namespaces.
#[derive(Clone, Copy)]
pub(super) struct Names {
    pid: u32,
}

impl Names {
    pub(super) fn ours() -> Names {
        Names { pid: std::process::id() }
    }

    pub(super) fn router(&self) -> String {
        format!("{PREFIX}{}-router", self.pid)
    }

    pub(super) fn host(&self, host: usize) -> String {
        format!("{PREFIX}{}-{host}", self.pid)
    }
}

/// All namespaces that have names.
pub(super) fn existing() -> Result<Vec<String>> {
    let entries = match fs::read_dir(FOLDER) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot list {FOLDER}"))?,
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Those of the names that a process like ours has made and that died before it removed them. A name
/// with our own number is of a process that had it before us.
pub(super) fn left_behind(names: &[String], is_alive: impl Fn(u32) -> bool) -> Vec<String> {
    let is_stale = |name: &&String| {
        let rest = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-'));
        let pid = rest.and_then(|(pid, _)| pid.parse().ok());
        pid.is_some_and(|pid| pid == std::process::id() || !is_alive(pid))
    };
    names.iter().filter(is_stale).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_dead_runs_of_ours_made_is_left_behind() {
        let names = ["trefoil-7-router", "trefoil-7-0", "trefoil-8-0", "other-7-0", "trefoil-x"];
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(left_behind(&names, |pid| pid == 8), ["trefoil-7-router", "trefoil-7-0"]);
        let ours = [Names::ours().host(3)];
        assert_eq!(left_behind(&ours, |_| true), ours);
    }
}
