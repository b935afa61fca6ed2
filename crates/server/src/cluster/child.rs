//! One node as a process: its output goes to a file, its end is noticed, its last lines are kept.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

/// So much of the end of an output file is looked at, bytes.
const TAIL_BYTES: u64 = 16 << 10;
/// So many last lines are shown.
const TAIL_LINES: usize = 8;

/// A process that was started by us. Killed if it is dropped while it runs.
pub(super) struct NodeProcess {
    child: Child,
    output: PathBuf,
    /// Where the output of this run begins in the file, which is appended to.
    output_from: u64,
    ended: Option<ExitStatus>,
}

impl NodeProcess {
    /// Starts a node in a process group of its own: Ctrl-C is for us alone, we pass it on.
    pub(super) fn start(mut command: Command, output: &Path) -> Result<NodeProcess> {
        let dir = output.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir).with_context(|| format!("can't make {}", dir.display()))?;
        let file = File::options()
            .create(true)
            .append(true)
            .open(output)
            .with_context(|| format!("can't write {}", output.display()))?;
        let output_from = file.metadata()?.len();
        let errors = file.try_clone()?;
        command.stdin(Stdio::null()).stdout(file).stderr(errors).process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("can't start {}", command.get_program().display()))?;
        Ok(NodeProcess { child, output: output.to_path_buf(), output_from, ended: None })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// Asks it to stop, if it runs.
    pub(super) fn terminate(&mut self) {
        if self.ended().is_none() {
            // It may have ended just now.
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        }
    }

    /// Ends it at once, if it runs.
    pub(super) fn kill(&mut self) {
        if self.ended().is_none() {
            // It may have ended just now.
            let _ = self.child.kill();
            self.ended = self.child.wait().ok();
        }
    }

    /// The last lines that it printed in this run.
    pub(super) fn last_lines(&self) -> Vec<String> {
        read_tail(&self.output, self.output_from).unwrap_or_default()
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

fn read_tail(path: &Path, from: u64) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(from.max(length.saturating_sub(TAIL_BYTES))))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(TAIL_LINES);
    Ok(lines[skipped..].iter().map(|line| (*line).to_owned()).collect())
}

/// How a process ended, for people.
pub(super) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "stopped cleanly".to_owned(),
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(9)) => "was killed (signal 9)".to_owned(),
        (None, signal) => format!("was ended by signal {}", signal.unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, output: &Path) -> NodeProcess {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        NodeProcess::start(command, output).expect("a shell starts")
    }

    fn wait(process: &mut NodeProcess) -> String {
        process.ended = process.child.wait().ok();
        describe(process.ended().expect("it was waited for"))
    }

    #[test]
    fn the_last_lines_of_this_run_are_kept_when_a_node_dies() {
        let dir = tempfile::tempdir().expect("a folder");
        let output = dir.path().join("node/output.log");
        let mut first = shell("echo of the run before", &output);
        assert_eq!(wait(&mut first), "stopped cleanly");
        let mut second =
            shell("for n in 1 2 3 4 5 6 7 8 9; do echo line $n; done; exit 3", &output);
        assert_eq!(wait(&mut second), "ended with exit code 3");
        let lines = second.last_lines();
        assert_eq!(lines.len(), TAIL_LINES);
        assert_eq!((lines[0].as_str(), lines[7].as_str()), ("line 2", "line 9"));
        let mut third = shell("echo alone >&2", &output);
        wait(&mut third);
        assert_eq!(third.last_lines(), ["alone"]);
    }

    #[test]
    fn a_node_is_asked_to_stop_and_killed_if_need_be() {
        let dir = tempfile::tempdir().expect("a folder");
        let output = dir.path().join("output.log");
        let mut asked = shell("exec sleep 1000", &output);
        asked.terminate();
        assert_eq!(wait(&mut asked), "was ended by signal 15");
        let mut killed = shell("exec sleep 1000", &output);
        killed.kill();
        assert_eq!(describe(killed.ended().expect("killed")), "was killed (signal 9)");
        killed.terminate();
    }
}
